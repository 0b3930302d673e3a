"""PALM as published, reconstructed.

Best candidate at each weight of a geometric grid, then pruned by set cover.

After the abstract and public summaries of arXiv 2604.04144 (its full text was not at hand). It is
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
    """Number of grid weights: `(K+2)^d - (K+1)^d`, `K = ceil(ln((d-1)/delta) / -ln(1-eps))`."""
    if not (0 < eps < 1 and 0 < delta < 1):
        raise InvalidInputError(
            f"the PALM grid needs 0 < eps < 1 and 0 < delta < 1, got {eps} and {delta}"
        )
    steps = max(0, math.ceil(math.log((d - 1) / delta) / -math.log(1 - eps)))
    return int((steps + 2) ** d - (steps + 1) ** d)


def palm_grid(d: int, eps: float, delta: float) -> Floats:
    """The grid as weights summing to 1, shape (grid_size, d).

    Before rescaling the largest coordinate is 1 and each other one is 0 or a power of 1-eps.
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
    """The a-priori bound on the size of an (eps, delta)-portfolio.

    One policy a grid weight is enough.

    Holds for rewards in [0, 1] without a KL cost, whatever the policies are. What is needed is far
    less.
    """
    return grid_size(d, eps, delta)


def promised_size(d: int, gap: float, least: float | None = None) -> int:
    """The least size that PALM's theory promises for an additive worst gap of `gap`, whatever the
    policies are.

    With `least`, a number above 0 that the best value is nowhere below, for a multiplicative worst
    gap of `gap`: there a tolerance delta is a share of at most delta / `least`. Rewards in [0, 1],
    no KL cost: an (eps, delta)-portfolio has a gap of at most eps + delta, so the best split of
    `gap` is taken. Raises InvalidInputError where `gap` isn't in (0, 1).
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

    `lazy` skips the oracle where a policy found before reaches the upper bound that convexity gives
    within the grid's own tolerance. For a budget k: the smallest additive tolerance at which
    pruning needs at most k members.
    """
    target.require_additive("palm")
    oracle = as_oracle(candidates)
    started, stopped = time.perf_counter(), "grid done"
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
        low, high = 0.0, float(deficit.min(axis=1).max() + deficit.max())
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
                high, chosen = middle, found
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
