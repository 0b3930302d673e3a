"""What the dashboard shows at given weights, and of a portfolio's size, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_engine.geometry.policies import as_points

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PickInfo:
    """At weights `w`: the picked member, the runner-up (None for a portfolio of one) and the best candidate, as
    candidate rows, with their values; `gap` additive, `relative_gap` a share of the best value (None where it is <= 0).
    """

    weights: Floats
    member: int
    member_value: float
    runner_up: int | None
    best: int
    best_value: float
    gap: float
    relative_gap: float | None


@dataclass(frozen=True)
class CurveInfo:
    """Size against worst gap: `choose` where sizes were chosen; `certify` and its `upper` bound, or None."""

    sizes: tuple[int, ...]
    members: tuple[tuple[str, ...], ...]
    choose: tuple[float, ...]
    certify: tuple[float, ...] | None
    upper: tuple[float, ...] | None
    confidence: float | None
    proved: bool


def pick_info(points: ArrayLike, portfolio: list[int], w: ArrayLike) -> PickInfo:
    """What a user with weights `w` (d,) gets from `portfolio`, rows of `points` (n, d)."""
    u, weights = as_points(points), np.asarray(w, dtype=float)
    values = u @ weights
    order = sorted(portfolio, key=lambda i: (-round(float(values[i]), 12), portfolio.index(i)))
    best = int(np.argmax(np.round(values, 12)))
    if values[best] <= values[order[0]] + 1e-12:
        best = order[0]
    gap = float(max(values[best] - values[order[0]], 0.0))
    return PickInfo(
        weights,
        order[0],
        float(values[order[0]]),
        order[1] if len(order) > 1 else None,
        best,
        float(values[best]),
        gap,
        gap / float(values[best]) if values[best] > 0 else None,
    )
