"""Exact selection: the smallest (eps, delta)-portfolio and the best k, both proved.

Cutting planes: a set-cover problem on finitely many weights is a relaxation; the exact worst gap
finds the weights that are violated, which become rows of it. The finite problem is an integer
program (HiGHS, Huangfu and Hall 2018, doi:10.1007/s12532-017-0130-5); generating rows as they are
violated is that of Dantzig, Fulkerson and Johnson (1954, doi:10.1287/opre.2.4.393). For a budget k
the gap is bisected, with the weights carried along.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Progress, no_progress
from palm_engine.errors import InfeasibleError
from palm_engine.geometry.gap import require_positive, require_target
from palm_engine.geometry.policies import as_points
from palm_engine.oracles.interface import Oracle
from palm_engine.oracles.table import as_table
from palm_engine.selection.greedy import best_at_worst, complete
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.cover import Cover
from palm_engine.selection.parts.cuts import TOLERANCE, Cuts, worst_first
from palm_engine.selection.parts.dense import Dense, fewest, narrowed
from palm_engine.selection.result import PROVED, Selection, Target

INTERRUPTED = "interrupted"
TIGHTER = (0.8, 0.9, 0.95, 0.98)
# Seconds that an easy selection takes, and one whose levels are bisected. A hard one gets weights
# all over the region, for a share of the time that is left, and at most for so many seconds; with
# more columns no integer program keeps a time limit.
EASY_SECONDS = 1.0
EASY_LEVELS_SECONDS = 2.5
HARD_SHARE = 0.6
HARD_SECONDS = 40.0
LEAST_SECONDS = 0.3
MOST_COLUMNS = 2_000


def minimum(
    candidates: ArrayLike | Oracle, target: Target, options: Options = DEFAULT
) -> Selection:
    """The best k, or the fewest for a tolerance, exact over the whole region.

    Args:
        candidates: points (n, d), or a table oracle.
        target: a budget or a tolerance.
        options: which weights count, who may or must be a member; with a time limit it may stop
            early, with the best found and the bound proved so far.

    Raises:
        InfeasibleError: the eligible candidates can't meet the target.
        InvalidInputError: options that make no sense here.
        UndefinedGapError: a multiplicative gap where the best value is not positive everywhere.
    """
    q = as_table(candidates)
    started = time.perf_counter()
    deadline = None if options.time_limit is None else started + options.time_limit
    options.check(len(q), q.shape[1], target)
    cuts = Cuts(q, options)
    tell = _Teller(cuts, options, started)
    if target.k is not None:
        if target.multiplicative:
            require_positive(q, options.region)
        k = min(target.k, len(cuts.rows))
        return _best_of_size(cuts, k, target.multiplicative, tell, deadline)
    require_target(q, target.eps, target.delta, options.region)
    return _Fewest(cuts, target.eps, target.delta, tell, deadline).run()


class _Teller:
    """Makes results, and tells whoever listens of each that improves on the one before."""

    def __init__(self, cuts: Cuts, options: Options, started: float) -> None:
        self.cuts = cuts
        self._found = options.found
        self._started = started
        self._last: tuple[object, ...] = ()
        self._next = 0.0

    def result(self, columns: Sequence[int], stopped: str, **bounds: float | None) -> Selection:
        """The result for some columns."""
        seconds = time.perf_counter() - self._started
        return self.cuts.selection("minimum", columns, seconds=seconds, stopped=stopped, **bounds)

    def so_far(self, columns: Sequence[int] | None, **bounds: float | None) -> None:
        """Tell of the best so far, where it is another or its bound is."""
        if self._found is None or columns is None:
            return
        standing = (tuple(columns), *bounds.values())
        started = time.perf_counter()
        if standing == self._last or started < self._next:
            return
        self._last = standing
        self._found(self.result(columns, INTERRUPTED, **bounds))
        # An exact gap of many candidates takes a while: telling takes a tenth of the time at most.
        ended = time.perf_counter()
        self._next = ended + 10 * (ended - started)


def size_curve(
    points: ArrayLike,
    max_k: int,
    options: Options = DEFAULT,
    multiplicative: bool = False,
    report: Progress = no_progress,
) -> list[Selection]:
    """The exact best portfolio of every size, from the number of required members (or 1) upwards.

    Args:
        points: candidates, shape (n, d).
        max_k: the largest size; the curve ends earlier at a size whose worst gap is 0.
        options: guardrails; the time limit is for each size.
        multiplicative: minimise the multiplicative worst gap, else the additive one.
        report: gets the share done and what is being done.

    Raises:
        UndefinedGapError: a multiplicative gap where the best value is not positive everywhere.
    """
    q = as_points(points)
    first = max(1, len(options.include))
    last = min(max_k, len(options.eligible(len(q))))
    curve: list[Selection] = []
    for k in range(first, last + 1):
        report((k - first) / (last - first + 1), f"best {k} of {len(q)}")
        curve.append(minimum(q, Target(k=k, multiplicative=multiplicative), options))
        if curve[-1].gap.additive <= TOLERANCE:
            break
    return curve


class _Fewest:
    """The search for the fewest members that keep a tolerance."""

    def __init__(
        self, cuts: Cuts, eps: float, delta: float, tell: _Teller, deadline: float | None
    ) -> None:
        self.cuts = cuts
        self.eps = eps
        self.delta = delta
        self.tell = tell
        self.deadline = deadline
        self.bound = max(1, len(cuts.require))
        self.incumbent: list[int] | None = None
        self.missing: list[int] = []  # what time ran out on
        # What isn't settled soon is hard: it gets weights all over the region, once.
        self.hard_from = time.perf_counter() + EASY_SECONDS if Dense.has_room(cuts) else None
        self.spread = False
        self.stuck = False  # a program gave up without being asked to

    def late(self) -> bool:
        """Whether the time limit has passed."""
        return self.deadline is not None and time.perf_counter() > self.deadline

    def is_hard(self) -> bool:
        """Whether it took longer than easy ones do, and nothing was done about it yet."""
        return self.hard_from is not None and time.perf_counter() > self.hard_from

    @property
    def left(self) -> float | None:
        """Seconds until one of these."""
        ends = [t for t in (self.deadline, self.hard_from) if t is not None]
        return min(ends) - time.perf_counter() if ends else None

    @property
    def ends_with_search(self) -> bool:
        """Whether no integer program comes after: of many columns, none keeps its time limit."""
        return self.deadline is not None and len(self.cuts.rows) > MOST_COLUMNS

    @property
    def proved(self) -> bool:
        """Whether the best so far is as small as must be."""
        return self.incumbent is not None and len(self.incumbent) <= self.bound

    def take(self, columns: list[int] | None, bound: int) -> None:
        """Take columns that keep the tolerance, where they are fewer, and a bound."""
        self.bound = max(self.bound, bound)
        if columns is not None and (self.incumbent is None or len(columns) < len(self.incumbent)):
            self.incumbent = columns
        self.tell.so_far(self.incumbent, size_lower_bound=self.bound)

    def run(self) -> Selection:
        """The result, whatever ends the search."""
        # A cover that just holds on the finite set mostly fails between its weights. So the size
        # proved necessary is first tried at a tighter tolerance; only where that is impossible (it
        # stays so: cuts only grow) at a looser one. Of hard ones, the bound is too low for that.
        tighter = list(TIGHTER)
        while True:
            if self.is_hard():
                self._spread()
                tighter = []
                if self.ends_with_search and self.incumbent is not None:
                    break
            elif tighter:
                share = tighter[0]
                at = self.bound
                covers = self.cuts.covers(self.eps * share, self.delta * share)
                cover = self.cuts.smallest(covers, at_most=at, time_limit=self.left)
                if cover.columns is None and not cover.timed_out:
                    tighter = tighter[1:]
                    continue
                self._check(Cover(cover.columns, at, cover.timed_out))
            else:
                at = self.bound
                covers = self.cuts.covers(self.eps, self.delta)
                self._check(self.cuts.smallest(covers, at_least=at, time_limit=self.left))
                if self.bound > at and not self.spread:
                    tighter = list(TIGHTER)
            if self.proved or self.late() or self.stuck:
                break
        stopped = PROVED if self.proved else "time limit"
        members = self.incumbent or self.missing or self._completed([])
        return self.tell.result(members, stopped, size_lower_bound=self.bound)

    def _spread(self) -> None:
        self.hard_from = None
        self.spread = True
        seconds = HARD_SECONDS
        last = self.ends_with_search
        if self.deadline is not None:
            left = self.deadline - time.perf_counter()
            seconds = left if last else min(HARD_SHARE * left, HARD_SECONDS)
        if seconds < LEAST_SECONDS:
            return
        self.take(
            *fewest(self.cuts, self.eps, self.delta, self.bound, self.take, seconds, patient=last)
        )

    def _check(self, cover: Cover) -> None:
        """Look between the weights of a cover, and complete it.

        Raises:
            InfeasibleError: there is none, whatever the time.
        """
        self.bound = max(self.bound, cover.lower_bound)
        self.stuck = cover.timed_out and self.left is None
        if cover.columns is None:
            if not cover.timed_out:
                reach = self.cuts.reach()
                raise InfeasibleError(
                    f"no portfolio of the eligible candidates meets eps {self.eps:g}, delta"
                    f" {self.delta:g}: even all of them together have an additive worst gap of"
                    f" {max(reach, 0):.4g}; loosen the target or the limits"
                )
            members = []
        else:
            members = list(cover.columns)
            vertices, violation = self.cuts.gaps(members, self.eps, self.delta)
            if violation.max() <= 10 * TOLERANCE:
                self.take(members, self.bound)
                return
            self.cuts.add(worst_first(vertices, violation, 10 * TOLERANCE))
        if self.incumbent is None or 0 < len(members) < len(self.incumbent):
            completed = self._completed(members)
            whole = not (self.late() or self.is_hard())
            if whole or self.cuts.gaps(completed, self.eps, self.delta)[1].max() <= 10 * TOLERANCE:
                self.take(completed, self.bound)
            else:
                self.missing = completed

    def _completed(self, columns: list[int]) -> list[int]:
        return complete(
            columns, self.cuts, self.eps, self.delta, lambda: self.late() or self.is_hard()
        )


def _best_of_size(
    cuts: Cuts, k: int, multiplicative: bool, tell: _Teller, deadline: float | None
) -> Selection:
    members = best_at_worst(
        k, cuts, lambda: deadline is not None and time.perf_counter() > deadline
    )
    lower = 0.0
    upper = max(float(cuts.gaps(members, multiplicative=multiplicative)[1].max()), 0.0)
    if len(cuts.rows) < len(cuts.comparators):
        # What not even all eligible candidates together can serve, no k of them can.
        lower = min(max(cuts.reach(multiplicative=multiplicative), 0.0), upper)
    stopped = PROVED
    # What isn't settled soon is hard: it gets weights all over the region, once.
    hard_from = time.perf_counter() + EASY_LEVELS_SECONDS if Dense.has_room(cuts) else np.inf

    def better(columns: list[int], least: float, gap: float) -> None:
        nonlocal members, upper
        members, upper = columns, gap
        tell.so_far(columns, gap_lower_bound=least)

    # Within two tolerances a cover may neither lower the bound nor be cut off: stop there.
    while upper - lower > 2 * TOLERANCE:
        tell.so_far(members, gap_lower_bound=min(lower, upper))
        if deadline is not None and time.perf_counter() > deadline:
            stopped = "time limit"
            break
        if time.perf_counter() > hard_from:
            hard_from = np.inf
            rest = np.inf if deadline is None else HARD_SHARE * (deadline - time.perf_counter())
            seconds = min(HARD_SECONDS, rest)
            if seconds >= LEAST_SECONDS:
                between = lower, upper
                lower = narrowed(cuts, k, multiplicative, between, better, seconds)
                lower = min(lower, upper)
            continue
        level = (lower + upper) / 2
        ends = min(np.inf if deadline is None else deadline, hard_from)
        left = max(ends - time.perf_counter(), 0.01) if ends < np.inf else None
        deficit = cuts.deficit / cuts.best[:, None] if multiplicative else cuts.deficit
        cover = cuts.smallest(deficit <= level + TOLERANCE, at_most=k, time_limit=left)
        if cover.timed_out:
            if hard_from < np.inf:
                hard_from = min(hard_from, time.perf_counter())
                continue
            stopped = "time limit"
            break
        if cover.columns is None:
            # No k candidates do at this level, nor at any below the next deficit that occurs.
            above = deficit[deficit > level + TOLERANCE]
            lower = min(float(above.min()), upper) if len(above) else upper
            continue
        found = list(cover.columns)
        vertices, gaps = cuts.gaps(found, multiplicative=multiplicative)
        if gaps.max() < upper:
            members = found
            upper = max(float(gaps.max()), lower)
        if gaps.max() > level + TOLERANCE:
            cuts.add(worst_first(vertices, gaps, level + TOLERANCE))
    return tell.result(members, stopped, gap_lower_bound=min(lower, upper))
