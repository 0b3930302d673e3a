"""Set cover on a finite set of weights: exact by HiGHS, and greedy.

An integer program with one row per weight and one column per candidate (HiGHS, Huangfu and Hall
2018, doi:10.1007/s12532-017-0130-5); small ones are enumerated. Dominated columns are dropped
first. The greedy and its logarithmic bound: Chvatal (1979, doi:10.1287/moor.4.3.233).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from palm_engine._types import Booleans

COMPARED = 1000
FEW = 12


@dataclass(frozen=True)
class Cover:
    """A set cover.

    Attributes:
        columns: that cover every row; None where there is no cover within the limits.
        lower_bound: proved on their number.
        timed_out: whether time ran out.
    """

    columns: tuple[int, ...] | None
    lower_bound: int
    timed_out: bool = False


def smallest_cover(
    covers: Booleans, at_least: int = 1, at_most: int | None = None, time_limit: float | None = None
) -> Cover:
    """The fewest columns such that each row has one; exact unless time runs out.

    Args:
        covers: which column covers which row, (rows, columns).
        at_least: a bound that was proved before, carried in as a cut.
        at_most: only decide whether there is a cover of that many, which is faster; as many as
            allowed are then used, which leaves smaller gaps between the rows.
        time_limit: in seconds.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    columns = covers.shape[1]
    if not covers.any(axis=1).all():
        return Cover(None, columns + 1)
    kept_columns = representatives(covers)
    kept = covers[:, kept_columns]
    matrix = kept[minimal_rows(kept)].astype(float)
    most = float(at_most) if at_most is not None else float(len(kept_columns))
    if at_least > most:
        return Cover(None, at_least)
    if columns <= FEW:
        # Where only existence is asked, as many as allowed: between the rows they leave smaller
        # gaps.
        least = at_least if at_most is None else min(at_most, len(kept_columns))
        few = _smallest_of_few(matrix > 0.5, least, int(most))
        if few is None:
            return Cover(None, int(most) + 1)
        return Cover(
            tuple(int(c) for c in kept_columns[few]), at_least if at_most is not None else len(few)
        )
    solved = milp(
        np.ones(len(kept_columns)) if at_most is None else np.zeros(len(kept_columns)),
        constraints=[
            LinearConstraint(matrix, lb=1.0),
            LinearConstraint(np.ones((1, len(kept_columns))), lb=float(at_least), ub=most),
        ],
        integrality=np.ones(len(kept_columns), dtype=int),
        bounds=Bounds(0, 1),
        options={} if time_limit is None else {"time_limit": max(time_limit, 0.01)},
    )
    if solved.x is None:
        if solved.status == 2:  # infeasible, proved
            return Cover(None, int(most) + 1)
        return Cover(None, at_least, timed_out=True)
    chosen = tuple(int(c) for c in np.sort(kept_columns[solved.x > 0.5]))
    if at_most is not None:
        return Cover(chosen, at_least)
    proved = (
        len(chosen)
        if solved.status == 0
        else max(at_least, int(np.ceil(solved.mip_dual_bound - 1e-6)))
    )
    return Cover(chosen, proved, timed_out=solved.status != 0)


def representatives(covers: Booleans) -> NDArray[np.intp]:
    """One column of each distinct non-empty set of rows that is not part of another, ascending."""
    kept = _distinct(covers.T)
    kept = kept[covers[:, kept].any(axis=0)]
    return np.sort(kept[_maximal(covers[:, kept].T)])


def minimal_rows(covers: Booleans) -> NDArray[np.intp]:
    """Rows that imply the others: a row is implied by one whose columns are among its own.

    Args:
        covers: which column covers which row, (rows, columns).

    Returns:
        Rows, ascending.
    """
    kept = _distinct(covers)
    return np.sort(kept[_maximal(~covers[kept])])


def _distinct(sets: Booleans) -> NDArray[np.intp]:
    """The first of each kind of row of `sets`."""
    words = _packed(sets)
    kinds = words.view(np.dtype((np.void, words.shape[1] * words.itemsize)))[:, 0]
    return np.asarray(np.unique(kinds, return_index=True)[1])


def _packed(sets: Booleans) -> NDArray[np.uint64]:
    """Sets (rows, of elements) as bits, 64 in a word: (rows, words)."""
    bits = np.packbits(sets, axis=1)
    words = max(-(-bits.shape[1] // 8), 1)
    whole = np.zeros((len(bits), 8 * words), dtype=np.uint8)
    whole[:, : bits.shape[1]] = bits
    return whole.view(np.uint64)


def _maximal(sets: Booleans) -> NDArray[np.intp]:
    """Those of distinct sets (rows, of elements) that are no part of another, in any order."""
    words = _packed(sets)
    # The fullest word first: what isn't part of another is soon seen.
    words = words[:, np.argsort(-np.bitwise_count(words).sum(axis=0, dtype=np.int64))]
    sizes = sets.sum(axis=1)
    # Large sets first: whatever is part of a set is part of one that is kept, so only those are
    # compared with.
    order = np.argsort(-sizes, kind="stable")
    maximal = np.empty(0, dtype=np.intp)
    for start in range(0, len(order), COMPARED):
        block = order[start : start + COMPARED]
        block = block[~_within(words[block], words[maximal])]
        inside = _within(words[block], words[block], own=True)
        maximal = np.concatenate([maximal, block[~inside]])
    return maximal


def _within(sets: NDArray[np.uint64], others: NDArray[np.uint64], own: bool = False) -> Booleans:
    """Which of `sets` (m, words) are part of one of `others` (n, words).

    With `own`, of another one of themselves.
    """
    without = ~others
    inside = (sets[:, :1] & without[:, 0]) == 0
    if own:
        np.fill_diagonal(inside, False)
    part, whole = np.nonzero(inside)
    for word in range(1, sets.shape[1]):
        if not len(part):
            break
        kept = (sets[part, word] & without[whole, word]) == 0
        part, whole = part[kept], whole[kept]
    found = np.zeros(len(sets), dtype=bool)
    found[part] = True
    return found


def _smallest_of_few(covers: Booleans, at_least: int, at_most: int) -> NDArray[np.intp] | None:
    """Fewest columns, `at_least` to `at_most` of them, by trying all.

    Faster than setting up a program.
    """
    for size in range(max(at_least, 1), min(at_most, covers.shape[1]) + 1):
        tried = np.array(list(combinations(range(covers.shape[1]), size)))
        does = covers[:, tried].any(axis=2).all(axis=0)
        if does.any():
            return np.asarray(tried[int(np.argmax(does))])
    return None


def greedy_cover(covers: Booleans, limit: int | None = None) -> tuple[int, ...]:
    """Columns by most newly covered rows (ties: the first); not optimal.

    Args:
        covers: which column covers which row, (rows, columns).
        limit: most columns to take; None until all rows are covered.
    """
    open_rows = covers.any(axis=1)
    chosen: list[int] = []
    while open_rows.any() and (limit is None or len(chosen) < limit):
        gains = covers[open_rows].sum(axis=0)
        chosen.append(int(np.argmax(gains)))
        open_rows &= ~covers[:, chosen[-1]]
    return tuple(chosen)
