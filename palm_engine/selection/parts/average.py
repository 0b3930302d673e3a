"""A tie is not a choice: of portfolios as good for the worst-off user, the best on average.

Many portfolios of one size have nearly the least worst gap. Among those within a stated slack of
it, the one with the least expected gap of a population is taken; that is a choice by a second aim,
and the bound on the worst gap that was proved stays what it was. Of the fewest members for a
tolerance, those that keep it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from palm_engine._types import Floats
from palm_engine.geometry.envelope import upper_envelope
from palm_engine.geometry.fields import users_of
from palm_engine.geometry.gap import worst_additive_gap, worst_gap, worst_violation
from palm_engine.geometry.users import Users, uniform_users
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.cuts import TOLERANCE, comparator_rows
from palm_engine.selection.parts.median import exchanged_costs
from palm_engine.selection.result import Selection, Target

Rows = tuple[int, ...]
Fits = Callable[[Sequence[int]], bool]
LEAST_SLACK = 0.001
USERS = 4_000
MOST_CELLS = 20_000_000
# Of more candidates than this that may all be best somewhere, the selection is left as it is.
MOST_COLUMNS = 20_000
# So many portfolios are all looked at; of more, those that exchanging members leads to.
MOST_LOOKED_AT = 5_000
# So many exchanges are tried against the worst gap before a round gives up.
MOST_TRIED = 2_000


def with_least_expected_gap(
    points: Floats,
    selection: Selection,
    slack: float,
    options: Options = DEFAULT,
    users: Users | None = None,
    target: Target | None = None,
) -> Selection:
    """The same, or a portfolio of its size with a smaller expected gap and nearly its worst gap.

    Args:
        points: candidates, shape (n, d).
        selection: of them, by additive worst gap.
        slack: share of its worst gap that may be given up, at least 0; LEAST_SLACK at least is
            allowed. 0 returns the selection as it is.
        options: the weights that count, who may or must be a member, and the time limit.
        users: the population; uniform ones if not given.
        target: what the selection was asked for: a tolerance is kept exactly, without slack.
    """
    if slack <= 0:
        return selection
    started = time.perf_counter()
    region = options.region
    others = points[comparator_rows(points)]
    limit = selection.gap.additive + max(slack * selection.gap.additive, LEAST_SLACK)

    def fits(rows: Sequence[int]) -> bool:
        kept = points[list(rows)]
        if target is not None and target.k is None:
            violation, _ = worst_violation(kept, others, target.eps, target.delta, region)
            return violation <= 10 * TOLERANCE
        return worst_additive_gap(kept, others, region) <= limit

    columns = [int(i) for i in options.eligible(len(points))]
    if len(columns) > MOST_COLUMNS:
        # Of very many, those that are best somewhere, and those that are chosen.
        near = {*map(int, comparator_rows(points)), *selection.members}
        columns = [c for c in columns if c in near]
    if len(columns) > MOST_COLUMNS:
        return selection
    if users is None:
        count = min(USERS, max(MOST_CELLS // len(columns), 100))
        users = uniform_users(users_of(points.shape[1], region, count))
    best = upper_envelope(others, users.weights)
    costs = best[:, None] - users.weights @ points[columns].T
    place = {row: column for column, row in enumerate(columns)}
    members = tuple(place[m] for m in selection.members)
    fixed = tuple(place[m] for m in options.include)
    rest = len(columns) - len(fixed)
    search = _Search(costs, users.shares, columns, fixed, fits, lambda: options.late(started))
    if math.comb(rest, len(members) - len(fixed)) <= MOST_LOOKED_AT:
        chosen = search.best_of_all(members)
    else:
        chosen = search.exchanged(members)
    if set(chosen) == set(members):
        return selection
    rows = tuple(sorted(columns[c] for c in chosen))
    kept = points[list(rows)]
    return replace(selection, members=rows, points=kept, gap=worst_gap(kept, points, region))


class _Search:
    """Looks for columns that are cheaper on average and still fit."""

    def __init__(
        self,
        costs: Floats,
        shares: Floats,
        columns: Sequence[int],
        fixed: Rows,
        fits: Fits,
        late: Callable[[], bool],
    ) -> None:
        self.costs = costs
        self.shares = shares
        self.columns = columns
        self.fixed = fixed
        self._fits = fits
        self._late = late

    def expected(self, chosen: Rows) -> float:
        """Their mean gap."""
        return float(self.shares @ self.costs[:, list(chosen)].min(axis=1))

    def fits(self, chosen: Rows) -> bool:
        """Whether the worst gap allows them."""
        return self._fits([self.columns[c] for c in chosen])

    def best_of_all(self, members: Rows) -> Rows:
        """The cheapest of all that fit."""
        own = self.expected(members)
        rest = [c for c in range(len(self.columns)) if c not in self.fixed]
        tried = combinations(rest, len(members) - len(self.fixed))
        found = [(self.expected((*self.fixed, *some)), (*self.fixed, *some)) for some in tried]
        better = sorted((cost, chosen) for cost, chosen in found if cost < own - 1e-12)
        return next((chosen for _, chosen in better if self.fits(chosen)), members)

    def exchanged(self, members: Rows) -> Rows:
        """Exchange one member at a time while that lowers the mean gap."""
        chosen = members
        while not self._late():
            after = self._next(chosen)
            if after is None:
                break
            chosen = after
        return chosen

    def _next(self, chosen: Rows) -> Rows | None:
        totals = exchanged_costs(self.costs, self.shares, chosen)
        totals[[i for i, c in enumerate(chosen) if c in self.fixed]] = np.inf
        better = np.argsort(totals, axis=None, kind="stable")[:MOST_TRIED]
        limit = self.expected(chosen) - 1e-12
        for flat in better:
            place, column = np.unravel_index(int(flat), totals.shape)
            if totals[place, column] >= limit or self._late():
                return None
            kept = [c for i, c in enumerate(chosen) if i != place]
            after = tuple(sorted((*kept, int(column))))
            if self.fits(after):
                return after
        return None
