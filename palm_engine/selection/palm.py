"""PALM, reconstructed: the best candidate at each weight of a grid, then pruned by set cover.

After the abstract and public summaries of "Many Preferences, Few Policies: Compact Portfolios for
Multi-Objective LLM Alignment" (arXiv 2604.04144, version 3; its full text was not at hand): a
structured grid, a lazy search, pruning by set cover. Grid size, cut-off and bound are ours.

It is the baseline that the other methods are compared with, so its lazy search is as good as we
know to make it: the best value is bounded by all calls so far (`parts/sandwich.py`), and the grid
weight that is furthest from certainly served is asked next. Tolerances compose. On the grid the
lazy search loses (e, d) and pruning (e2, d2) of what it found: together `e + e2 - e*e2, d + d2`;
between grid weights another (e1, d1) of the grid comes on top in the same way, for rewards in
[0, 1] without a KL cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_engine._types import Floats
from palm_engine.errors import InfeasibleError
from palm_engine.geometry.envelope import upper_envelope
from palm_engine.geometry.region import Region
from palm_engine.oracles.interface import Oracle
from palm_engine.oracles.table import TableOracle, as_oracle
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.calls import Calls, FoundPool
from palm_engine.selection.parts.cover import greedy_cover
from palm_engine.selection.parts.grids import palm_grid, thin_grid
from palm_engine.selection.parts.sandwich import sandwich
from palm_engine.selection.result import Selection, Target

# Tolerances (eps, delta) of the lazy search for a budget of members.
LAZY = (0.0, 0.005)
# The share of a time limit that goes into calls, of weights in blocks of so many; the rest prunes.
ASKING = 0.25
BLOCK = 2_000


def palm(
    candidates: ArrayLike | Oracle,
    target: Target,
    options: Options = DEFAULT,
    lazy: bool | None = None,
) -> Selection:
    """Grid, oracle at each weight, set-cover pruning to the target on that grid.

    Args:
        candidates: points (n, d), or an oracle.
        target: an additive one; for a budget k, the smallest additive tolerance at which pruning
            needs at most k members.
        options: guardrails, with the grid's eps and delta; with a budget, calls are spread evenly
            over the grid.
        lazy: skip the oracle where what was found before certainly does, within half of a target's
            tolerance (LAZY for a budget k), so that pruning keeps the other half. By default of an
            oracle; a table is asked everywhere, since that costs nothing and leaves more to choose
            from.

    Raises:
        InfeasibleError: the eligible candidates can't meet the target on the grid.
        InvalidInputError: a grid that is too large, or a multiplicative target.
    """
    target.require_additive("palm")
    oracle = as_oracle(candidates)
    started = time.perf_counter()
    weights = _grid(oracle.d, options)
    searches = not isinstance(oracle, TableOracle) if lazy is None else lazy
    stopped = "grid done"
    if searches:
        eps, delta = LAZY if target.k is not None else (target.eps / 2, target.delta / 2)
        searched = sandwich(oracle, eps, delta, options, at=weights)
        calls = searched.calls
        stopped = searched.stopped.replace("target certified", "grid certainly served")
    else:
        calls = Calls(oracle)
        asked = _within_budget(weights, options.budget)
        done = _ask(calls, asked, options, started)
        if done < len(asked):
            stopped = "time limit"
            weights = asked[_spread(len(asked))[:done]]
    if options.budget is not None and len(calls) >= options.budget:
        stopped = "budget of oracle calls"
    pool = calls.pool(options)
    pruning = _Pruning(pool, weights)
    if target.k is not None:
        chosen = pruning.of_size(target.k, lambda: options.late(started))
        stopped = "time limit" if pruning.stopped else stopped
    else:
        eps, delta = target.eps, target.delta
        if searches and pool.comparators is pool.points:
            # The best is known up to the half that the search left open: what composes with it.
            eps = 0.5 * eps / (1 - 0.5 * eps)
            delta -= 0.5 * (1 - eps) * delta
        chosen = pruning.cover(eps * pruning.best + delta)
    return pool.selection("palm", chosen, started, stopped)


def _grid(d: int, options: Options) -> Floats:
    """The weights of the grid that count; the region's corners where none does."""
    make = thin_grid if options.thin_grid else palm_grid
    weights = make(d, options.grid_eps, options.grid_delta)
    if options.region is not None:
        weights = weights[options.region.contains(weights)]
    return weights if len(weights) else (options.region or Region.whole(d)).corners()


class _Pruning:
    """Set cover of the grid by what was found.

    Attributes:
        best: V_Q at the weights, (m,).
        stopped: whether time ran out.
    """

    def __init__(self, pool: FoundPool, weights: Floats) -> None:
        self.best = upper_envelope(pool.comparators, weights)
        self.stopped = False
        self._deficit = self.best[:, None] - weights @ pool.points.T
        self._forced = list(pool.include)

    def cover(self, tolerance: Floats) -> list[int]:
        """Columns, by greedy cover, that lose at most `tolerance` (m,) at each weight.

        Raises:
            InfeasibleError: not even all of them do.
        """
        covers = self._deficit <= tolerance[:, None] + 1e-12
        rest = covers[~covers[:, self._forced].any(axis=1)] if self._forced else covers
        if not rest.any(axis=1).all():
            raise InfeasibleError(
                "the eligible candidates can't meet this target on the grid; loosen target or"
                " limits"
            )
        return sorted({*self._forced, *greedy_cover(rest)})

    def of_size(self, k: int, late: Callable[[], bool]) -> list[int]:
        """At most k columns, for the smallest additive tolerance at which the cover needs no more.

        Args:
            k: number of members.
            late: whether to stop with what there is.
        """
        low = 0.0
        high = float(self._deficit.min(axis=1).max() + self._deficit.max())
        chosen = self.cover(np.full(len(self._deficit), high))
        for _ in range(40):
            if late():
                self.stopped = True
                break
            middle = (low + high) / 2
            try:
                found = self.cover(np.full(len(self._deficit), middle))
            except InfeasibleError:
                low = middle
                continue
            if len(found) <= k:
                high = middle
                chosen = found
            else:
                low = middle
        return chosen


def _ask(calls: Calls, weights: Floats, options: Options, started: float) -> int:
    """Ask at weights, all over the grid first, for a part of the time; how many were asked."""
    if options.time_limit is None:
        calls.ask(weights)
        return len(weights)
    order = _spread(len(weights))
    done = 0
    while done < len(order) and not (
        done and time.perf_counter() - started > ASKING * options.time_limit
    ):
        calls.ask(weights[order[done : done + BLOCK]])
        done += BLOCK
    return min(done, len(order))


def _spread(count: int) -> NDArray[np.intp]:
    """Rows of a grid such that any first part of them is all over it, the same each time."""
    return np.random.default_rng(0).permutation(count)


def _within_budget(weights: Floats, budget: int | None) -> Floats:
    """All grid weights, or as many as may be asked, evenly spread over the grid's order."""
    if budget is None or budget >= len(weights):
        return weights
    spread = np.linspace(0, len(weights) - 1, budget).astype(int)
    return np.asarray(weights[spread])
