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
from palm_engine.selection.result import PROVED, Selection, Target

INTERRUPTED = "interrupted"
TIGHTER = (0.8, 0.9, 0.95, 0.98)


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
    return _fewest(cuts, target.eps, target.delta, tell, deadline)


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


def _fewest(
    cuts: Cuts, eps: float, delta: float, tell: _Teller, deadline: float | None
) -> Selection:
    bound = max(1, len(cuts.require))
    incumbent: list[int] | None = None
    # A cover that just holds on the finite set mostly fails between its weights. So the size proved
    # necessary is
    # first tried at a tighter tolerance; only where that is impossible (it stays so: cuts only
    # grow) at a looser one.
    tightness = 0
    tried = bound

    def late() -> bool:
        return deadline is not None and time.perf_counter() > deadline

    def better(columns: list[int]) -> list[int]:
        """Those that they are completed to, where they are fewer than the best so far."""
        completed = complete(columns, cuts, eps, delta, late)
        if incumbent is None or len(completed) < len(incumbent):
            # What time ran out on may miss the target: only where there is nothing else.
            met = not late() or cuts.gaps(completed, eps, delta)[1].max() <= 10 * TOLERANCE
            return completed if met or incumbent is None else incumbent
        return incumbent

    while True:
        left = None if deadline is None else deadline - time.perf_counter()
        if bound > tried:
            tightness = 0
            tried = bound
        if tightness < len(TIGHTER):
            share = TIGHTER[tightness]
            cover = cuts.smallest(
                cuts.covers(eps * share, delta * share), at_most=bound, time_limit=left
            )
            if cover.columns is None and not cover.timed_out:
                tightness += 1
                continue
            cover = Cover(cover.columns, bound, cover.timed_out)
        else:
            cover = cuts.smallest(cuts.covers(eps, delta), at_least=bound, time_limit=left)
        bound = max(bound, cover.lower_bound)
        if cover.columns is None:
            if not cover.timed_out:
                reach = cuts.reach()
                raise InfeasibleError(
                    f"no portfolio of the eligible candidates meets eps {eps:g}, delta {delta:g}:"
                    f" even all of them together have an additive worst gap of {max(reach, 0):.4g};"
                    " loosen the target or the limits"
                )
            incumbent = incumbent or better([])
        else:
            members = list(cover.columns)
            vertices, violation = cuts.gaps(members, eps, delta)
            if violation.max() <= 10 * TOLERANCE:
                stopped = "time limit" if len(members) > bound else PROVED
                return tell.result(members, stopped, size_lower_bound=bound)
            cuts.add(worst_first(vertices, violation, 10 * TOLERANCE))
            incumbent = better(members)
        tell.so_far(incumbent, size_lower_bound=bound)
        over = late()
        if incumbent is not None and (len(incumbent) <= bound or over):
            # What time ran out on may have as few members because it misses the target.
            met = cuts.gaps(incumbent, eps, delta)[1].max() <= 10 * TOLERANCE
            stopped = PROVED if met and len(incumbent) <= bound else "time limit"
            return tell.result(incumbent, stopped, size_lower_bound=bound)


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
    # Within two tolerances a cover may neither lower the bound nor be cut off: stop there.
    while upper - lower > 2 * TOLERANCE:
        tell.so_far(members, gap_lower_bound=min(lower, upper))
        if deadline is not None and time.perf_counter() > deadline:
            stopped = "time limit"
            break
        level = (lower + upper) / 2
        left = None if deadline is None else deadline - time.perf_counter()
        deficit = cuts.deficit / cuts.best[:, None] if multiplicative else cuts.deficit
        cover = cuts.smallest(deficit <= level + TOLERANCE, at_most=k, time_limit=left)
        if cover.timed_out:
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
