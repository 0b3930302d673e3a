"""Hard covers: weights all over the region at once, a bound by a linear program, local search.

Where few cuts don't settle which portfolio is smallest, many weights of a lattice do most of it:
the linear program over them bounds the size from below (a relaxation of set cover, so a proof), and
covers of them are seldom violated between. Every portfolio that is given back was checked exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palm_engine._types import Booleans, Floats
from palm_engine.geometry.simplex import grid, lattice_steps
from palm_engine.selection.parts.cover import minimal_rows, representatives
from palm_engine.selection.parts.cuts import TOLERANCE, Cuts, worst_first
from palm_engine.selection.parts.local_search import CoverSearch

# Weights, and their deficits by column (eight bytes each), that are looked at.
MOST_WEIGHTS = 60_000
A_COLUMN = 100
MOST_CELLS = 15_000_000
# With fewer there is nothing dense about them.
FEWEST_WEIGHTS = 1_000
# Weights by which it is timed what one takes.
TIMED = 200
# Weights that a linear program begins with, at most so many cells of it, and what it takes a round.
FIRST = 2_000
FIRST_CELLS = 2_000_000
A_ROUND = 300
STEPS = 5_000
SLOW_RISE = 0.02
# So many weights at most are left to the integer programs of a level: each makes them slower.
MOST_ADDED = 400
# Without anything better for this share of its time, a search gives up.
PATIENCE = 0.25
ROUNDING = 1e-6
# Levels of a gap are told apart to this share of it; one is given up after so many runs of STEPS,
# and the search after so many levels.
CLOSE = 0.005
RUNS = 3
TRIES = 2


@dataclass(frozen=True)
class Relaxed:
    """The linear program over weights of the lattice.

    Attributes:
        size: a bound from below on the size of any cover; a fraction.
        rows: of the lattice, that it came to.
        tight: those of them that hold the bound: few.
        late: whether time ran out on it.
    """

    size: float
    rows: NDArray[np.intp]
    tight: NDArray[np.intp]
    late: bool


class Dense:
    """Weights all over a region, with each column's deficit at each.

    Attributes:
        weights: (m, d).
        best: V_Q at them, (m,).
        deficit: V_Q(w) - w·u of each column, (m, columns).
    """

    def __init__(self, cuts: Cuts, seconds: float) -> None:
        """As many weights as columns and time leave room for: a fifth of `seconds`."""
        self.cuts = cuts
        began = time.perf_counter()
        cuts.measured(np.repeat(cuts.region.centre()[None], TIMED, axis=0))
        one = (time.perf_counter() - began) / TIMED
        most = min(MOST_WEIGHTS, A_COLUMN * len(cuts.rows), MOST_CELLS // _width(cuts))
        self.weights = _weights(cuts, max(min(most, int(0.2 * seconds / one)), TIMED))
        self.best, self.deficit = cuts.measured(self.weights)

    @staticmethod
    def has_room(cuts: Cuts) -> bool:
        """Whether there are few enough columns for it."""
        return MOST_CELLS // _width(cuts) >= FEWEST_WEIGHTS

    def relaxed(
        self,
        covers: Booleans,
        seconds: float,
        start: NDArray[np.intp] | None = None,
        enough: float = np.inf,
    ) -> Relaxed:
        """The least size of a cover by fractions of columns, by weights as they are violated.

        Args:
            covers: which column is good enough where, (m, columns); each row has one.
            seconds: that it may take; it ends with the bound of then.
            start: rows to begin with.
            enough: a bound above this is good enough.
        """
        from scipy.optimize import linprog

        ends = time.perf_counter() + seconds
        columns = np.union1d(representatives(covers), np.array(self.cuts.require, dtype=int))
        columns = columns.astype(int)
        kept = covers[:, columns]
        real = kept.astype(np.float32)
        least = np.isin(columns, self.cuts.require).astype(float)
        bounds = [(float(x), 1.0) for x in least]
        first = min(FIRST, FIRST_CELLS // len(columns), len(covers))
        rows = np.linspace(0, len(covers) - 1, first).astype(np.intp) if start is None else start
        size = 0.0
        tight = rows[:0]
        while True:
            rows = rows[minimal_rows(kept[rows])]
            solved = linprog(
                np.ones(len(columns)),
                A_ub=-kept[rows].astype(float),
                b_ub=-np.ones(len(rows)),
                bounds=bounds,
                method="highs",
                options={"time_limit": max(ends - time.perf_counter(), 0.01)},
            )
            if solved.x is None or solved.fun is None:
                return Relaxed(size, rows, tight, late=True)
            # Not what the solver says, which is right up to its tolerance: what its prices prove.
            price = np.maximum(-solved.ineqlin.marginals, 0.0)
            worth = 1 - price @ kept[rows]
            proved = float(price.sum() + np.minimum(least * worth, worth).sum())
            rise = proved - size
            size = max(size, proved)
            tight = rows[price > ROUNDING]
            served = real @ solved.x.astype(np.float32)
            worst = np.argsort(served)[:A_ROUND]
            worst = worst[served[worst] < 1 - 1e-4]
            settled = math.ceil(size + rise - ROUNDING) == math.ceil(size - ROUNDING)
            settled = settled and rise < SLOW_RISE
            late = time.perf_counter() > ends
            if not len(worst) or settled or size > enough or late:
                return Relaxed(size, rows, tight, late)
            rows = np.union1d(rows, worst)


def fewest(
    cuts: Cuts,
    eps: float,
    delta: float,
    bound: int,
    found: Callable[[list[int], int], None],
    seconds: float,
    patient: bool,
) -> tuple[list[int] | None, int]:
    """Few columns that keep a tolerance everywhere, and a bound on how few they can be.

    Args:
        cuts: the weights so far; those that mattered here are added.
        eps: multiplicative tolerance, in [0, 1).
        delta: additive tolerance, at least 0.
        bound: proved before.
        found: called with columns that keep it, and the bound, whenever there are fewer.
        seconds: that this may take.
        patient: take them all, also where nothing better was found for long.

    Returns:
        Columns (None where none was found), and the bound.
    """
    clock = _Clock(seconds)

    dense = Dense(cuts, seconds)
    covers = dense.deficit <= (eps * dense.best + delta)[:, None] + TOLERANCE
    if not covers.any(axis=1).all():
        cuts.add(dense.weights[~covers.any(axis=1)][:1])  # nobody is good enough there
        return None, bound
    relaxed = dense.relaxed(covers, 0.4 * seconds)
    bound = max(bound, math.ceil(relaxed.size - ROUNDING))
    search = CoverSearch(covers[relaxed.rows], cuts.require)
    members: list[int] | None = None
    added = [dense.weights[relaxed.rows]]
    improved = time.perf_counter()
    while True:
        if members is not None and len(search.chosen) >= len(members):
            search.drop()
        if len(search.chosen) <= len(cuts.require) and not search.covered:
            break  # nothing is left to exchange
        if not search.run(STEPS, clock.late):
            waited = time.perf_counter() - improved
            if clock.late() or (waited > PATIENCE * seconds and not patient):
                break
            continue
        with clock.check():
            vertices, violation = cuts.gaps(search.chosen, eps, delta)
        if violation.max() <= 10 * TOLERANCE:
            members = sorted(search.chosen)
            improved = time.perf_counter()
            found(members, bound)
            if len(members) <= bound:
                break
            continue
        fresh = worst_first(vertices, violation, 10 * TOLERANCE)
        best, deficit = cuts.measured(fresh)
        does = deficit <= (eps * best + delta)[:, None] + TOLERANCE
        if not does.any(axis=1).all() or clock.late():
            cuts.add(fresh)
            break
        added.append(fresh)
        search.add(does)
        if members is None:
            search.complete()
    cuts.add(np.vstack(added))
    return members, bound


def narrowed(
    cuts: Cuts,
    k: int,
    multiplicative: bool,
    between: tuple[float, float],
    found: Callable[[list[int], float, float], None],
    seconds: float,
) -> float:
    """A bound from below on the worst gap of any k columns; better columns are told of.

    Args:
        cuts: the weights so far; those that matter here are added.
        k: number of members.
        multiplicative: gaps are shares of V_Q.
        between: the bound so far, and the least worst gap found.
        found: called with columns, the bound, and their worst gap, whenever it is smaller.
        seconds: that this may take.
    """
    clock = _Clock(seconds)
    narrowing = _Narrowing(cuts, k, multiplicative, seconds)
    lower, upper = between
    lower = min(max(lower, narrowing.reach), upper)
    lower = narrowing.bisected(lower, upper, seconds, clock)
    tried = lower
    missed = 0
    while upper - tried > CLOSE * upper and missed < TRIES and not clock.late():
        level = (tried + upper) / 2
        worst = narrowing.searched(level, upper, clock, lambda c, g: found(c, lower, g))
        missed = 0 if worst < upper else missed + 1
        upper = max(min(upper, worst), lower)
        if worst > level + TOLERANCE:
            tried = level
    return lower


class _Narrowing:
    """Programs and searches for k columns over one set of weights.

    `reach`: what no columns are better than, as nobody is.
    """

    def __init__(self, cuts: Cuts, k: int, multiplicative: bool, seconds: float) -> None:
        self.cuts = cuts
        self.k = k
        self.multiplicative = multiplicative
        self._dense = Dense(cuts, seconds)
        self._deficit = self._of(self._dense.best, self._dense.deficit)
        self.reach = float(self._deficit.min(axis=1).max())
        self._own = self._of(cuts.best, cuts.deficit)
        self._start: list[int] | None = None
        self._added = 0

    def _of(self, best: Floats, deficit: Floats) -> Floats:
        return deficit / best[:, None] if self.multiplicative else deficit

    def bisected(self, lower: float, upper: float, seconds: float, clock: _Clock) -> float:
        """The bound, raised by linear programs."""
        rows: NDArray[np.intp] | None = None
        tight = np.empty(0, dtype=np.intp)
        enough = self.k + ROUNDING
        while upper - lower > CLOSE * upper and not clock.late(0.4):
            level = (lower + upper) / 2
            covers = self._deficit <= level + TOLERANCE
            relaxed = self._dense.relaxed(covers, 0.2 * seconds, rows, enough)
            rows = relaxed.rows if rows is None else np.union1d(rows, relaxed.rows)
            if relaxed.size > enough:
                lower = level
                tight = relaxed.tight
            else:
                upper = level
        if rows is not None:
            self._own = np.vstack([self._own, self._deficit[rows]])
            self.cuts.add(self._dense.weights[tight])
        return lower

    def searched(
        self,
        level: float,
        upper: float,
        clock: _Clock,
        found: Callable[[list[int], float], None],
    ) -> float:
        """The least worst gap of k columns met on the way to `level`."""
        covers = self._own <= level + TOLERANCE
        if not covers.any(axis=1).all():
            return upper
        search = CoverSearch(covers, self.cuts.require, self._start)
        while len(search.chosen) > self.k:
            search.drop()
        missed = 0
        while missed < RUNS and not clock.late():
            if not search.run(STEPS, clock.late):
                missed += 1
                continue
            with clock.check():
                vertices, gaps = self.cuts.gaps(search.chosen, multiplicative=self.multiplicative)
            worst = float(gaps.max())
            if worst < upper:
                upper = worst
                found(sorted(search.chosen), upper)
                missed = 0
            if worst <= level + TOLERANCE:
                break
            fresh = worst_first(vertices, gaps, level + TOLERANCE)
            more = self._of(*self.cuts.measured(fresh))
            self._own = np.vstack([self._own, more])
            if self._added < MOST_ADDED:
                self._added += len(fresh)
                self.cuts.add(fresh)
            if not (more <= level + TOLERANCE).any(axis=1).all():
                break
            search.add(more <= level + TOLERANCE)
        self._start = list(search.chosen)
        return upper


class _Clock:
    """What time is left, the slowest exact check kept in reserve."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._started = time.perf_counter()
        self._slowest = 0.0

    def late(self, share: float = 1.0) -> bool:
        """Whether a share of the time has passed."""
        spent = time.perf_counter() - self._started
        return spent + 2 * self._slowest > share * self._seconds

    @contextmanager
    def check(self) -> Iterator[None]:
        """Time an exact check."""
        began = time.perf_counter()
        yield
        self._slowest = max(self._slowest, time.perf_counter() - began)


def _width(cuts: Cuts) -> int:
    """Numbers that a weight takes: one for each column, or each that these are compared with."""
    return max(len(cuts.rows), len(cuts.comparators))


def _weights(cuts: Cuts, most: int) -> Floats:
    """A lattice over the whole simplex, uniform draws and the corners of a smaller region."""
    d = cuts.points.shape[1]
    if not cuts.region.is_whole:
        drawn = cuts.region.sample(most, np.random.default_rng(0))
        return np.vstack([drawn, cuts.region.corners()])
    return grid(d, lattice_steps(d, most))
