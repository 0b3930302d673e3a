"""What a user with given weights gets: the picked member, the runner-up, the best candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.geometry.envelope import TIE
from palm_engine.geometry.policies import as_points
from palm_engine.geometry.simplex import as_weights


@dataclass(frozen=True)
class PickInfo:
    """The pick at some weights; policies are rows of the candidates.

    Attributes:
        weights: the effective weights, shape (d,).
        member: the picked member.
        member_value: its value.
        runner_up: the next best member, None in a portfolio of one.
        best: the best candidate; the picked member where they tie.
        best_value: its value.
        gap: additive gap.
        multiplicative_gap: the gap as a share of the best value, None where that is not positive.
    """

    weights: Floats
    member: int
    member_value: float
    runner_up: int | None
    best: int
    best_value: float
    gap: float
    multiplicative_gap: float | None


def pick_info(points: ArrayLike, portfolio: Sequence[int], w: ArrayLike) -> PickInfo:
    """What a user gets from a portfolio; the first of policies that tie within 1e-12.

    Args:
        points: candidates, shape (n, d).
        portfolio: rows of the members.
        w: the user's weights, shape (d,), summing to 1.

    Raises:
        InvalidInputError: shapes don't fit, or `w` is not in the simplex.
    """
    u = as_points(points)
    weights = as_weights(w, u.shape[1])
    values = u @ weights
    member = _first_best(values, portfolio)
    others = [row for row in portfolio if row != member]
    best = _first_best(values, range(len(u)))
    if values[best] <= values[member] + TIE:
        best = member
    gap = max(float(values[best] - values[member]), 0.0)
    best_value = float(values[best])
    return PickInfo(
        weights=weights,
        member=member,
        member_value=float(values[member]),
        runner_up=_first_best(values, others) if others else None,
        best=best,
        best_value=best_value,
        gap=gap,
        multiplicative_gap=gap / best_value if best_value > 0 else None,
    )


def _first_best(values: Floats, rows: Sequence[int]) -> int:
    """The first of some rows that tie for the largest value."""
    some = values[np.asarray(rows)]
    return int(rows[int((some >= some.max() - TIE).argmax())])
