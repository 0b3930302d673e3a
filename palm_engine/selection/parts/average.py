"""A tie is not a choice: of portfolios as good for the worst-off user, the best on average.

Many portfolios of one size have nearly the least worst gap. Among those within a stated slack of
it, the one with the least expected gap of uniform users is taken; that is a choice by a second aim,
and the bound on the worst gap that was proved stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

from palm_engine._types import Floats
from palm_engine.geometry.fields import users_of
from palm_engine.geometry.gap import worst_additive_gap, worst_gap
from palm_engine.geometry.region import Region
from palm_engine.selection.result import Selection

Rows = tuple[int, ...]
Expected = Callable[[Sequence[int]], float]
Fits = Callable[[Sequence[int]], bool]
LEAST_SLACK = 0.001
USERS = 4_000
# So many portfolios are all looked at; of more, those that exchanging members leads to.
MOST_LOOKED_AT = 5_000


def with_least_expected_gap(
    points: Floats,
    selection: Selection,
    slack: float,
    region: Region | None = None,
    fixed: Sequence[int] = (),
) -> Selection:
    """The same, or a portfolio of its size with a smaller expected gap and nearly its worst gap.

    Args:
        points: candidates, shape (n, d).
        selection: of them, by additive worst gap.
        slack: share of its worst gap that may be given up, at least 0; LEAST_SLACK at least is
            allowed. 0 returns the selection as it is.
        region: the weights that count; None: all.
        fixed: rows that must stay members.
    """
    if slack <= 0:
        return selection
    limit = selection.gap.additive + max(slack * selection.gap.additive, LEAST_SLACK)
    values = users_of(points.shape[1], region, USERS) @ points.T
    best = values.max(axis=1)

    def expected(rows: Sequence[int]) -> float:
        return float((best - values[:, list(rows)].max(axis=1)).mean())

    def fits(rows: Sequence[int]) -> bool:
        return worst_additive_gap(points[list(rows)], points, region) <= limit

    rest = [i for i in range(len(points)) if i not in fixed]
    free = len(selection.members) - len(fixed)
    if math.comb(len(rest), free) <= MOST_LOOKED_AT:
        chosen = _best_of_all(selection.members, rest, free, tuple(fixed), expected, fits)
    else:
        chosen = _exchanged(selection.members, rest, tuple(fixed), expected, fits)
    if set(chosen) == set(selection.members):
        return selection
    members = tuple(sorted(chosen))
    kept = points[list(members)]
    return replace(selection, members=members, points=kept, gap=worst_gap(kept, points, region))


def _best_of_all(
    members: Rows, rest: Sequence[int], free: int, fixed: Rows, expected: Expected, fits: Fits
) -> Rows:
    own = expected(members)
    found = [(expected((*fixed, *some)), (*fixed, *some)) for some in combinations(rest, free)]
    better = sorted((e, rows) for e, rows in found if e < own - 1e-12)
    return next((rows for _, rows in better if fits(rows)), members)


def _exchanged(
    members: Rows, rest: Sequence[int], fixed: Rows, expected: Expected, fits: Fits
) -> Rows:
    """Exchange one member at a time while that lowers the expected gap."""
    chosen = members
    while True:
        own = expected(chosen)
        swaps = [
            tuple(sorted((*(m for m in chosen if m != out), new)))
            for out in chosen
            if out not in fixed
            for new in rest
            if new not in chosen
        ]
        better = sorted((e, rows) for rows in swaps if (e := expected(rows)) < own - 1e-12)
        after = next((rows for _, rows in better if fits(rows)), None)
        if after is None:
            return chosen
        chosen = after
