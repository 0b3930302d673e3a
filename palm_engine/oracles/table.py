"""A reward table as an oracle: the best of finitely many evaluated policies. Exact."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.envelope import best_policy
from palm_engine.geometry.policies import as_points
from palm_engine.oracles.interface import Answers, Oracle


class TableOracle:
    """Answers with the best of the points of a table; ties go to the first row."""

    tolerance = 0.0

    def __init__(self, points: ArrayLike) -> None:
        """Make an oracle of a table.

        Args:
            points: policies, shape (n, d).

        Raises:
            InvalidInputError: another shape, or a number that is not finite.
        """
        self.points = as_points(points)

    @property
    def d(self) -> int:
        """Number of traits."""
        return int(self.points.shape[1])

    @property
    def floor(self) -> float:
        """The table's smallest number."""
        return float(self.points.min())

    def answer(self, weights: Floats) -> Answers:
        """The best row at given weights.

        Args:
            weights: shape (m, d).
        """
        rows = best_policy(self.points, np.atleast_2d(weights))
        points = self.points[rows]
        return Answers(points, np.einsum("md,md->m", np.atleast_2d(weights), points), rows)


def is_oracle(candidates: ArrayLike | Oracle) -> bool:
    """Whether `candidates` is an oracle, and not an array of points (n, d)."""
    return hasattr(candidates, "answer")


def as_oracle(candidates: ArrayLike | Oracle) -> Oracle:
    """`candidates` as an oracle: points (n, d) become a table."""
    return (
        cast(Oracle, candidates)
        if is_oracle(candidates)
        else TableOracle(cast(ArrayLike, candidates))
    )


def as_table(candidates: ArrayLike | Oracle) -> Floats:
    """The points of a table.

    Args:
        candidates: points (n, d), or an oracle over a table.

    Returns:
        Shape (n, d).

    Raises:
        InvalidInputError: an oracle that can't list its policies.
    """
    if not is_oracle(candidates):
        return as_points(cast(ArrayLike, candidates))
    if not isinstance(candidates, TableOracle):
        raise InvalidInputError(
            "this method needs a table of candidates; for an oracle use adaptive, placement, palm,"
            " uniform or random"
        )
    return candidates.points
