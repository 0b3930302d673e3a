"""A population of users: a measure on the simplex, as weighted points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palm_engine._types import Floats


@dataclass(frozen=True)
class Users:
    """Users by their weights.

    Attributes:
        weights: shape (m, d), rows summing to 1.
        counts: how many users each row stands for, above 0, shape (m,).
        segments: the segment of each row; empty where there are none.
    """

    weights: Floats
    counts: Floats
    segments: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """How many users there are."""
        return float(self.counts.sum())

    @property
    def shares(self) -> Floats:
        """The share of the users that each row stands for, shape (m,), summing to 1."""
        return np.asarray(self.counts / self.counts.sum())

    @property
    def effective(self) -> float:
        """How many equal users tell as much about others as these do (Kish): at most the rows."""
        return float(1.0 / (self.shares**2).sum())


def uniform_users(weights: Floats) -> Users:
    """Users who are one each.

    Args:
        weights: shape (m, d).
    """
    return Users(weights, np.ones(len(weights)))
