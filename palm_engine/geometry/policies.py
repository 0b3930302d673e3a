"""Policies as points: on the simplex `w·v - c` equals `w·(v - c·1)`.

So a policy is one row of a matrix U, with or without a KL cost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError


def policy_points(rewards: ArrayLike, kl_cost: ArrayLike | None = None) -> Floats:
    """Points `u = v - c` of policies.

    Args:
        rewards: reward vectors, shape (n, d), in [0, 1].
        kl_cost: beta KL of each policy, shape (n,), at least 0; None where it is not counted.

    Returns:
        Shape (n, d).

    Raises:
        InvalidInputError: NaN or a number out of range; names row and column.
    """
    v = np.asarray(rewards, dtype=float)
    if v.ndim != 2 or v.shape[0] < 1 or v.shape[1] < 2:
        raise InvalidInputError(
            f"reward vectors must have shape (policies >= 1, traits >= 2), got {v.shape}"
        )
    bad = ~((v >= 0) & (v <= 1))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InvalidInputError(
            f"row {row}, column {column}: reward {v[row, column]} is not in [0, 1]"
        )
    if kl_cost is None:
        return v.copy()
    c = np.asarray(kl_cost, dtype=float)
    if c.shape != (len(v),) or not (np.isfinite(c) & (c >= 0)).all():
        raise InvalidInputError(
            f"costs must be finite and non-negative, one per policy; got shape {c.shape}"
        )
    return np.asarray(v - c[:, None])


def as_points(points: ArrayLike, d: int | None = None) -> Floats:
    """Check a matrix of points; NaN is refused, never skipped.

    Args:
        points: shape (n >= 1, d >= 2).
        d: the number of columns that is needed, or None.

    Returns:
        The points as floats, shape (n, d).

    Raises:
        InvalidInputError: another shape, or a number that is not finite.
    """
    u = np.asarray(points, dtype=float)
    if u.ndim != 2 or u.shape[0] < 1 or u.shape[1] < 2 or (d is not None and u.shape[1] != d):
        raise InvalidInputError(
            f"policies must have shape (n >= 1, {d or 'd >= 2'}), got {u.shape}"
        )
    if not np.isfinite(u).all():
        row, column = np.argwhere(~np.isfinite(u))[0]
        raise InvalidInputError(
            f"row {row}, column {column}: {u[row, column]} is not a finite number"
        )
    return u
