"""What somebody without a plan would do.

Policies at well-spread weights (`uniform`), or at random ones (`random`).
"""

from __future__ import annotations

import time
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.errors import InfeasibleError
from palm_engine.geometry.gap import worst_violation
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import random_design, uniform_design
from palm_engine.oracles.interface import Oracle
from palm_engine.oracles.table import as_oracle
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.calls import Calls
from palm_engine.selection.result import Selection, Target

MOST_DESIGN = 64
MET = 1e-9
RESOLUTION = {2: 100, 3: 50, 4: 20, 5: 12, 6: 9, 7: 8, 8: 7}


def uniform(
    candidates: ArrayLike | Oracle, target: Target, options: Options = DEFAULT
) -> Selection:
    """The oracle at well-spread weights; for a tolerance, more of them until it is met.

    Args:
        candidates: points (n, d), or an oracle.
        target: an additive one.
        options: guardrails.

    Raises:
        InfeasibleError: the tolerance is not met by the largest design or the budget.
        InvalidInputError: a multiplicative target.
    """
    return _design("uniform", candidates, target, options)


def random(candidates: ArrayLike | Oracle, target: Target, options: Options = DEFAULT) -> Selection:
    """The oracle at random weights (`options.seed`); for a tolerance, more until it is met.

    Args:
        candidates: points (n, d), or an oracle.
        target: an additive one.
        options: guardrails.

    Raises:
        InfeasibleError: the tolerance is not met by the largest design or the budget.
        InvalidInputError: a multiplicative target.
    """
    return _design("random", candidates, target, options)


def _design(
    name: str, candidates: ArrayLike | Oracle, target: Target, options: Options
) -> Selection:
    target.require_additive(name)
    oracle = as_oracle(candidates)
    started = time.perf_counter()
    calls = Calls(oracle)
    if target.k is not None:
        free = max(target.k - len(options.include), 0)
        within = free if options.budget is None else min(free, options.budget)
        calls.ask(_weights(name, oracle.d, target.k, options)[:within])
        pool = calls.pool(options)
        stopped = "design done" if within == free else "budget of oracle calls"
        return pool.selection(name, range(len(pool.points)), started, stopped)
    most = min(MOST_DESIGN, options.budget or MOST_DESIGN)
    for w in _weights(name, oracle.d, MOST_DESIGN, options)[:most]:
        calls.ask(w[None])
        pool = calls.pool(options)
        violation, _ = worst_violation(
            pool.points, pool.comparators, target.eps, target.delta, options.region
        )
        # Only a table says whether the target is met off the weights that were asked.
        if violation <= MET:
            return pool.selection(name, range(len(pool.points)), started, "target met")
        if options.late(started):
            return pool.selection(name, range(len(pool.points)), started, "time limit")
    raise InfeasibleError(
        f"{name}: {most} weights don't meet eps {target.eps:g}, delta {target.delta:g}; loosen them"
    )


def _weights(name: str, d: int, count: int, options: Options) -> Floats:
    resolution = RESOLUTION.get(d, 6)
    while comb(resolution + d - 1, d - 1) < count:
        resolution += 1
    if name == "uniform":
        design = uniform_design(d, count, resolution)
    else:
        design = random_design(d, count, options.seed, resolution)
    region = options.region or Region.whole(d)
    # Into the region: shrunk towards its centre until inside.
    for i, w in enumerate(design):
        low = 0.0
        high = 1.0
        if not region.contains(w)[0]:
            for _ in range(40):
                middle = (low + high) / 2
                inside = region.contains((1 - middle) * region.centre() + middle * w)[0]
                low, high = (middle, high) if inside else (low, middle)
            design[i] = (1 - low) * region.centre() + low * w
    return np.asarray(design)
