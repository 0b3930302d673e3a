"""Partial cover: columns that serve the largest share of rows, or a given share by the fewest.

An integer program over the columns (HiGHS, Huangfu and Hall 2018, doi:10.1007/s12532-017-0130-5);
rows that the same columns serve are one row. After Church and ReVelle (1974, maximal covering,
doi:10.1007/BF01942293).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palm_engine._types import Booleans, Floats
from palm_engine.selection.parts.cover import representatives

ROUNDING = 1e-9


@dataclass(frozen=True)
class Partial:
    """A partial cover.

    Attributes:
        columns: ascending; None where none was found, or there is none.
        share: of the rows that they serve.
        bound: proved: the largest share of so many columns, or the least number for the share.
        timed_out: whether time ran out before it was proved.
    """

    columns: tuple[int, ...] | None
    share: float
    bound: float
    timed_out: bool = False


def most_served(
    serves: Booleans,
    shares: Floats,
    k: int,
    fixed: tuple[int, ...] = (),
    time_limit: float | None = None,
) -> Partial:
    """The columns, at most k, that serve the largest share of the rows.

    Args:
        serves: which column serves which row, shape (m, n).
        shares: of the rows, (m,), summing to 1.
        k: number of columns.
        fixed: columns that must be among them.
        time_limit: in seconds.
    """
    reachable = float(shares[serves.any(axis=1)].sum())
    quick = _greedy(serves, shares, k, fixed)
    if quick.share >= reachable - ROUNDING:
        return quick
    columns, value, bound, late = _solve(serves, shares, fixed, time_limit, most=k)
    if value < quick.share:
        columns, value = quick.columns, quick.share
    return Partial(columns, value, 1.0 if bound is None else min(-bound, 1.0), late)


def fewest_serving(
    serves: Booleans,
    shares: Floats,
    share: float,
    fixed: tuple[int, ...] = (),
    time_limit: float | None = None,
) -> Partial:
    """The fewest columns that serve a share of the rows.

    Args:
        serves: which column serves which row, shape (m, n).
        shares: of the rows, (m,), summing to 1.
        share: that must be served, 0 to 1.
        fixed: columns that must be among them.
        time_limit: in seconds.
    """
    reachable = float(shares[serves.any(axis=1)].sum())
    if reachable < share - ROUNDING:
        return Partial(None, reachable, float(serves.shape[1] + 1))
    quick = _greedy(serves, shares, serves.shape[1], fixed, share)
    columns, value, bound, late = _solve(serves, shares, fixed, time_limit, share=share)
    if columns is None or len(columns) > len(quick.columns or ()):
        columns, value = quick.columns, quick.share
    least = 1.0 if bound is None else float(np.ceil(bound - 1e-6))
    return Partial(columns, value, max(least, len(fixed), 1), late)


def _greedy(
    serves: Booleans, shares: Floats, k: int, fixed: tuple[int, ...], enough: float = 1.0
) -> Partial:
    """The column that adds most, one after another; stops at `enough`, or where none adds more."""
    chosen = list(fixed)
    left = np.where(serves[:, chosen].any(axis=1), 0.0, shares)
    while len(chosen) < k:
        gains = left @ serves
        if (gains.max() <= 0 or left.sum() <= 1 - enough + ROUNDING) and chosen:
            break
        chosen.append(int(np.argmax(gains)))
        left = np.where(serves[:, chosen[-1]], 0.0, left)
    share = float(shares.sum() - left.sum())
    return Partial(tuple(sorted(chosen)), share, share)


def _solve(
    serves: Booleans,
    shares: Floats,
    fixed: tuple[int, ...],
    time_limit: float | None,
    most: int | None = None,
    share: float | None = None,
) -> tuple[tuple[int, ...] | None, float, float | None, bool]:
    """Columns, the share that they serve, the program's bound, and whether time ran out."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array, eye_array, hstack

    kept = np.union1d(representatives(serves), np.array(fixed, dtype=int)).astype(int)
    kinds, where = np.unique(serves[:, kept], axis=0, return_inverse=True)
    worth = np.bincount(where.ravel(), weights=shares, minlength=len(kinds))
    m, n = kinds.shape
    # Columns x are whole, rows z follow: z is at most 1 and at most the columns that serve it.
    served = hstack([csr_array(kinds.astype(float)), -eye_array(m)])
    limits = [LinearConstraint(served, lb=0.0)]
    if most is not None:
        aim = np.concatenate([np.zeros(n), -worth])
        limits.append(LinearConstraint(np.r_[np.ones(n), np.zeros(m)][None], ub=float(most)))
    else:
        assert share is not None
        aim = np.concatenate([np.ones(n), np.zeros(m)])
        limits.append(LinearConstraint(np.r_[np.zeros(n), worth][None], lb=share - ROUNDING))
    lower = np.concatenate([np.isin(kept, fixed).astype(float), np.zeros(m)])
    solved = milp(
        aim,
        constraints=limits,
        integrality=np.concatenate([np.ones(n), np.zeros(m)]),
        bounds=Bounds(lower, 1.0),
        options={} if time_limit is None else {"time_limit": max(time_limit, 0.01)},
    )
    bound = None if solved.mip_dual_bound is None else float(solved.mip_dual_bound)
    if solved.x is None:
        return None, 0.0, bound, solved.status != 2
    columns = tuple(int(c) for c in np.sort(kept[solved.x[:n] > 0.5]))
    value = float(shares[serves[:, list(columns)].any(axis=1)].sum()) if columns else 0.0
    return columns, value, bound, solved.status != 0
