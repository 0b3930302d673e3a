"""Certified portfolios from few oracle calls.

The sandwich finds and certifies, the exact method chooses.

The order in which the sandwich calls is a poor portfolio (it starts at the corners), so members are
chosen from everything found, against the upper bound that it proved. Scope `certified`: all
policies, the whole region.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_gap, worst_violation
from palm_engine.oracles.interface import Oracle
from palm_engine.oracles.table import as_oracle
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.calls import FoundPool
from palm_engine.selection.parts.sandwich import Sandwich, sandwich
from palm_engine.selection.result import Selection, Target

BUDGET_TARGET = (0.0, 0.005)
BUDGET_CALLS = 40


def adaptive(
    candidates: ArrayLike | Oracle, target: Target, options: Options = DEFAULT
) -> Selection:
    """A certified portfolio from few oracle calls: the sandwich finds, the exact method chooses.

    The gap is certified: against every policy that the oracle could give, its tolerance included.
    Where the sandwich stops before the target, all found policies are kept and `stopped` says why.

    Args:
        candidates: points (n, d), or an oracle.
        target: for a budget k the sandwich goes to a gap of .005 or 40 calls.
        options: guardrails; excluding candidates is refused, since the oracle's optimum would be
            one that can't be used.

    Raises:
        InvalidInputError: options that make no sense here.
        InfeasibleError: the target can't be met.
    """
    if options.exclude:
        raise InvalidInputError(
            "adaptive and placement can't exclude candidates; use minimum or greedy for that"
        )
    started = time.perf_counter()
    oracle = as_oracle(candidates)
    if target.k is not None:
        options = replace(options, budget=options.budget or BUDGET_CALLS)
    between = sandwich(
        oracle, *(BUDGET_TARGET if target.k is not None else (target.eps, target.delta)), options
    )
    return choose_certified("adaptive", between, target, options, started)


def choose_certified(
    method: str,
    between: Sandwich,
    target: Target,
    options: Options,
    started: float,
    stopped: str | None = None,
) -> Selection:
    """The exact choice among the policies that a sandwich found, against its upper bound."""
    pool: FoundPool = between.calls.pool(options)
    count = len(pool.points)
    both = np.vstack([pool.points, between.upper])
    limits = Options(
        region=options.region,
        include=pool.include,
        exclude=tuple(range(count, len(both))),
        time_limit=(
            None
            if options.time_limit is None
            else max(options.time_limit - time.perf_counter() + started, 0.1)
        ),
    )
    chosen: tuple[int, ...] = tuple(range(count))
    stopped = stopped or between.stopped
    if target.k is not None:
        chosen = minimum(both, target, limits).members
    elif (
        worst_violation(pool.points, between.upper, target.eps, target.delta, options.region)[0]
        <= 1e-9
    ):
        # A hair looser, since the sandwich itself stops within rounding of the target.
        chosen = minimum(both, replace(target, delta=target.delta + 2e-9), limits).members
    gap = worst_gap(pool.points[list(chosen)], between.upper, options.region)
    return pool.selection(method, chosen, started, stopped, gap, "certified")
