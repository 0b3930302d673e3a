"""PALM, reconstructed: the best candidate at each weight of a grid, then pruned by set cover.

After the abstract and public summaries of "Many Preferences, Few Policies: Compact Portfolios for
Multi-Objective LLM Alignment" (arXiv 2604.04144, version 3; its full text was not at hand): a
structured grid, a lazy search, pruning by set cover. Grid size, cut-off and bound are ours. It is
the baseline that the exact method is compared with: what it proves on the grid composes to
`e1+e2-e1*e2, d1+d2` off it.
"""

from __future__ import annotations

import math
import time
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.errors import InfeasibleError, InvalidInputError
from palm_engine.geometry.envelope import upper_envelope
from palm_engine.geometry.region import Region
from palm_engine.oracles.interface import Oracle
from palm_engine.oracles.table import as_oracle
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.calls import Calls
from palm_engine.selection.parts.cover import greedy_cover
from palm_engine.selection.result import Selection, Target

MOST_WEIGHTS = 1_000_000


def grid_size(d: int, eps: float, delta: float) -> int:
    """Number of grid weights: `(K+2)^d - (K+1)^d`, `K = ceil(ln((d-1)/delta) / -ln(1-eps))`.

    Args:
        d: number of traits.
        eps: of the grid, in (0, 1).
        delta: of the grid, in (0, 1).

    Raises:
        InvalidInputError: eps or delta out of range.
    """
    if not (0 < eps < 1 and 0 < delta < 1):
        raise InvalidInputError(
            f"the PALM grid needs 0 < eps < 1 and 0 < delta < 1, got {eps} and {delta}"
        )
    steps = max(0, math.ceil(math.log((d - 1) / delta) / -math.log(1 - eps)))
    return int((steps + 2) ** d - (steps + 1) ** d)


def palm_grid(d: int, eps: float, delta: float) -> Floats:
    """The grid: before rescaling the largest weight is 1, each other one 0 or a power of 1-eps.

    Args:
        d: number of traits.
        eps: of the grid, in (0, 1).
        delta: of the grid, in (0, 1).

    Returns:
        Shape (grid_size, d), rows summing to 1.

    Raises:
        InvalidInputError: eps or delta out of range, or more weights than MOST_WEIGHTS.
    """
    size = grid_size(d, eps, delta)
    if size > MOST_WEIGHTS:
        raise InvalidInputError(
            f"the PALM grid would have {size:,} weights (limit {MOST_WEIGHTS:,}); raise the"
            " grid's eps or delta (--grid-eps, --grid-delta)"
        )
    steps = max(0, math.ceil(math.log((d - 1) / delta) / -math.log(1 - eps)))
    levels = np.concatenate([[1.0], (1 - eps) ** np.arange(1, steps + 1), [0.0]])
    rows = np.array([row for row in product(levels, repeat=d) if max(row) == 1.0])
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def size_upper_bound(d: int, eps: float, delta: float) -> int:
    """How many members an (eps, delta)-portfolio needs at most, whatever the policies are.

    One policy per grid weight is enough (ours, reconstructed), for rewards in [0, 1] without a KL
    cost. What is needed is far less.

    Args:
        d: number of traits.
        eps: multiplicative tolerance, in (0, 1).
        delta: additive tolerance, in (0, 1).

    Raises:
        InvalidInputError: eps or delta out of range.
    """
    return grid_size(d, eps, delta)


def promised_size(d: int, gap: float, least: float | None = None) -> int:
    """How many members the grid needs at most for a worst gap, whatever the policies are.

    An (eps, delta)-portfolio has a gap of at most eps + delta, so the best split of `gap` is taken.
    For rewards in [0, 1] without a KL cost.

    Args:
        d: number of traits.
        gap: additive worst gap, in (0, 1); multiplicative with `least`.
        least: a number above 0 that the best value is nowhere below; a tolerance delta is then a
            share of at most delta / `least`.

    Raises:
        InvalidInputError: `gap` is not in (0, 1).
    """
    if not 0 < gap < 1:
        raise InvalidInputError(f"a worst gap in (0, 1) is needed, got {gap}")
    scale = 1.0 if least is None else min(least, 1.0)
    return min(
        size_upper_bound(d, gap * share, scale * gap * (1 - share))
        for share in np.linspace(0.05, 0.95, 37)
    )


def palm(
    candidates: ArrayLike | Oracle,
    target: Target,
    options: Options = DEFAULT,
    lazy: bool = False,
) -> Selection:
    """Grid, oracle at each weight, set-cover pruning to the target on that grid.

    Args:
        candidates: points (n, d), or an oracle.
        target: an additive one; for a budget k, the smallest additive tolerance at which pruning
            needs at most k members.
        options: guardrails, with the grid's eps and delta; with a budget, calls are spread evenly
            over the grid.
        lazy: skip the oracle where a policy found before reaches the upper bound that convexity
            gives within the grid's own tolerance.

    Raises:
        InfeasibleError: the eligible candidates can't meet the target on the grid.
        InvalidInputError: a grid that is too large, or a multiplicative target.
    """
    target.require_additive("palm")
    oracle = as_oracle(candidates)
    started = time.perf_counter()
    stopped = "grid done"
    region = options.region or Region.whole(oracle.d)
    weights = palm_grid(oracle.d, options.grid_eps, options.grid_delta)
    weights = weights[region.contains(weights)] if options.region else weights
    if not len(weights):
        weights = region.corners()
    calls = Calls(oracle)
    if lazy:
        _lazy_calls(calls, weights, options, started)
    else:
        calls.ask(_within_budget(weights, options.budget))
    if options.budget is not None and len(calls) >= options.budget:
        stopped = "budget of oracle calls"
    pool = calls.pool(options)
    best = upper_envelope(pool.comparators, weights)
    deficit = best[:, None] - weights @ pool.points.T
    forced = list(pool.include)

    def cover(tolerance: Floats) -> list[int]:
        covers = deficit <= tolerance[:, None] + 1e-12
        rest = covers[~covers[:, forced].any(axis=1)] if forced else covers
        if not rest.any(axis=1).all():
            raise InfeasibleError(
                "the eligible candidates can't meet this target on the grid; loosen target or"
                " limits"
            )
        return sorted({*forced, *greedy_cover(rest)})

    if target.k is None:
        chosen = cover(target.eps * best + target.delta)
    else:
        low = 0.0
        high = float(deficit.min(axis=1).max() + deficit.max())
        chosen = cover(np.full(len(weights), high))
        for _ in range(40):
            if options.late(started):
                stopped = "time limit"
                break
            middle = (low + high) / 2
            try:
                found = cover(np.full(len(weights), middle))
            except InfeasibleError:
                low = middle
                continue
            if len(found) <= target.k:
                high = middle
                chosen = found
            else:
                low = middle
    return pool.selection("palm", chosen, started, stopped)


def _within_budget(weights: Floats, budget: int | None) -> Floats:
    """All grid weights, or as many as may be asked, evenly spread over the grid's order."""
    if budget is None or budget >= len(weights):
        return weights
    spread = np.linspace(0, len(weights) - 1, budget).astype(int)
    return np.asarray(weights[spread])


def _lazy_calls(calls: Calls, weights: Floats, options: Options, started: float) -> None:
    """Ask at a grid weight only where what is found so far doesn't certainly do."""
    d = weights.shape[1]
    budget = options.budget or len(weights) + d
    calls.ask(np.eye(d)[:budget])
    for w in weights:
        if options.late(started) or len(calls) >= budget:
            break
        # V is convex: below the interpolation of the corners.
        optimistic = float(w[: len(calls.optima[:d])] @ calls.optima[:d])
        enough = (1 - options.grid_eps) * optimistic - options.grid_delta
        if float((calls.points @ w).max()) < enough:
            calls.ask(w[None])
