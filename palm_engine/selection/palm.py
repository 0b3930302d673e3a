"""PALM as published, reconstructed: best candidate at each weight of a geometric grid, then pruned by set cover.

After the abstract and public summaries of arXiv 2604.04144 (its full text was not at hand). It is the baseline
that the exact method is compared with: what it proves on the grid composes to `e1+e2-e1*e2, d1+d2` off it.
"""

from __future__ import annotations

import math
import time
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.envelope import best_policy, upper_envelope
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.policies import as_points
from palm_engine.selection.cover import greedy_cover
from palm_engine.selection.result import Selection, Target

Floats = NDArray[np.float64]
MOST_WEIGHTS = 1_000_000


def grid_size(d: int, eps: float, delta: float) -> int:
    """Number of grid weights: `(K+2)^d - (K+1)^d`, `K = ceil(ln((d-1)/delta) / -ln(1-eps))`."""
    if not (0 < eps < 1 and 0 < delta < 1):
        raise InvalidInputError(f"the PALM grid needs 0 < eps < 1 and 0 < delta < 1, got {eps} and {delta}")
    steps = max(0, math.ceil(math.log((d - 1) / delta) / -math.log(1 - eps)))
    return int((steps + 2) ** d - (steps + 1) ** d)


def palm_grid(d: int, eps: float, delta: float) -> Floats:
    """The grid as weights summing to 1, shape (grid_size, d).

    Before rescaling the largest coordinate is 1 and each other one is 0 or a power of 1-eps.
    """
    size = grid_size(d, eps, delta)
    if size > MOST_WEIGHTS:
        raise InvalidInputError(
            f"the PALM grid would have {size:,} weights (limit {MOST_WEIGHTS:,}); raise eps or delta"
        )
    steps = max(0, math.ceil(math.log((d - 1) / delta) / -math.log(1 - eps)))
    levels = np.concatenate([[1.0], (1 - eps) ** np.arange(1, steps + 1), [0.0]])
    rows = np.array([row for row in product(levels, repeat=d) if max(row) == 1.0])
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def palm(points: ArrayLike, target: Target, grid_eps: float = 0.1, grid_delta: float = 0.1) -> Selection:
    """Grid, oracle (best candidate) at each weight, greedy set-cover pruning to the target.

    For a budget k: the smallest additive tolerance at which greedy pruning needs at most k members.
    """
    q = as_points(points)
    started = time.perf_counter()
    weights = palm_grid(q.shape[1], grid_eps, grid_delta)
    found = np.unique(best_policy(q, weights))
    best = upper_envelope(q, weights)
    deficit = best[:, None] - weights @ q[found].T
    if target.k is None:
        chosen = greedy_cover(deficit <= (target.eps * best + target.delta)[:, None] + 1e-12)
    else:
        low, high = 0.0, float(deficit.min(axis=1).max() + deficit.max())
        chosen = (0,)
        for _ in range(40):
            middle = (low + high) / 2
            cover = greedy_cover(deficit <= middle + 1e-12)
            if len(cover) <= target.k:
                high, chosen = middle, cover
            else:
                low = middle
    members = tuple(sorted(int(found[c]) for c in chosen))
    return Selection(
        "palm", members, worst_gap(q[list(members)], q), oracle_calls=len(weights),
        seconds=time.perf_counter() - started, stopped="grid done",
    )  # fmt: skip
