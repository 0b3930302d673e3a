"""Where to put k policies, with few oracle calls.

Plan on interpolated policies, ask only at what the plan picks.

A few certified calls; between them policies are interpolated over a fine grid (thin-plate spline
over weights), the exact best k of these virtual policies is found, the oracle is asked at those k
weights, and again until the plan stays; what is left of the budget goes where least is known. The
result is certified by the sandwich's upper bound.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.errors import InfeasibleError, InvalidInputError, UndefinedGapError
from palm_engine.geometry.envelope import envelope_vertices, upper_envelope
from palm_engine.geometry.gap import (
    minimum_of_envelope,
    require_positive,
    worst_gap,
    worst_violation,
)
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import grid
from palm_engine.oracles.interface import Oracle
from palm_engine.oracles.table import as_oracle
from palm_engine.selection.adaptive import choose_certified
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.calls import Calls
from palm_engine.selection.parts.sandwich import MET, Sandwich, sandwich, upper_points
from palm_engine.selection.result import Selection, Target

VIRTUAL = {2: 60, 3: 24, 4: 8, 5: 7, 6: 5, 7: 4, 8: 4}
PLAN_SECONDS = 0.5
BUDGET_CALLS = 35
MOST_CALLS = 500
CALLS_A_SIZE = 10
MOST_MEMBERS = 40
LEAST_MULTIPLICATIVE = 0.02
SETTLED = 1e-3


def placement(
    candidates: ArrayLike | Oracle, target: Target, options: Options = DEFAULT
) -> Selection:
    """The best k that planning on interpolated policies finds within few oracle calls.

    For a tolerance, sizes are tried upwards until the certified target is met. A time limit or a
    budget that is used up before returns all that was found, with its certified gap.

    Args:
        candidates: points (n, d), or an oracle.
        target: a budget or a tolerance.
        options: guardrails; 35 calls by default; excluding candidates is refused, as for
            `adaptive`.

    Raises:
        InvalidInputError: options that make no sense here.
    """
    if options.exclude:
        raise InvalidInputError(
            "adaptive and placement can't exclude candidates; use minimum or greedy for that"
        )
    started = time.perf_counter()
    oracle = as_oracle(candidates)
    if options.budget is not None and options.budget <= oracle.d:
        raise InvalidInputError(
            f"placement interpolates from at least {oracle.d + 1} oracle calls; raise the budget"
        )
    first = max(oracle.d + 1, (options.budget or BUDGET_CALLS) // 3)
    calls = sandwich(oracle, 0.0, 1e-6, replace(options, budget=first)).calls
    if target.multiplicative:
        require_positive(calls.points, options.region)
    if target.k is not None:
        return _place(
            calls, target, replace(options, budget=options.budget or BUDGET_CALLS), started
        )
    # Without a budget, every size gets some calls, so that the search goes on until the target is
    # met.
    most = options.budget or MOST_CALLS
    for k in range(
        max(_planned_size(calls, target, options), len(options.include)), MOST_MEMBERS + 1
    ):
        within = replace(options, budget=min(most, len(calls) + CALLS_A_SIZE))
        found = _place(calls, Target(k=k), within, started)
        if _meets(found.points, calls, target, options):
            return found
        if len(calls) >= most or options.late(started):
            break
    late = options.late(started)
    if options.budget is None and not late:
        # No placement did; calls where least is known certify it in the end.
        bounds = sandwich(oracle, target.eps, target.delta, options, known=calls)
        return choose_certified("placement", bounds, target, options, started)
    bounds = Sandwich(calls, upper_points(calls), 0.0, "", ())
    return choose_certified(
        "placement",
        bounds,
        target,
        options,
        started,
        "time limit" if late else "budget of oracle calls",
    )


def _planned_size(calls: Calls, target: Target, options: Options) -> int:
    """How many members the interpolated policies would need; 1 where they can't tell."""
    predicted = _interpolate(calls, _virtual_weights(calls.oracle.d, options.region))
    try:
        return len(
            minimum(
                predicted, target, Options(region=options.region, time_limit=PLAN_SECONDS)
            ).members
        )
    except (InfeasibleError, UndefinedGapError):
        return 1


def _meets(points: Floats, calls: Calls, target: Target, options: Options) -> bool:
    return (
        worst_violation(points, upper_points(calls), target.eps, target.delta, options.region)[0]
        <= MET
    )


def _place(calls: Calls, target: Target, options: Options, started: float) -> Selection:
    budget = options.budget or BUDGET_CALLS
    virtual = _virtual_weights(calls.oracle.d, options.region)
    # Interpolated values near 0 could make a multiplicative plan meaningless.
    multiplicative = (
        target.multiplicative
        and minimum_of_envelope(calls.points, options.region)[0] > LEAST_MULTIPLICATIVE
    )
    aim = replace(target, multiplicative=multiplicative)
    stopped = "no more improvement"
    note = (
        ""
        if multiplicative == target.multiplicative
        else "; planned for the additive gap, since the best value comes near 0"
    )
    while True:
        if len(calls) >= budget:
            stopped = "budget of oracle calls"
            break
        if options.late(started):
            stopped = "time limit"
            break
        predicted = _interpolate(calls, virtual)
        plan = minimum(predicted, aim, Options(region=options.region, time_limit=PLAN_SECONDS))
        fresh = [virtual[i] for i in plan.members if not calls.has_asked(virtual[i], 1e-6)]
        if not fresh:
            # The plan is settled; a call where least is known may still change it.
            fresh = _least_known(calls, options.region)
        if not fresh:
            break
        calls.ask(np.array(fresh[: budget - len(calls)]))
    pool = calls.pool(options)
    count = len(pool.points)
    both = np.vstack([pool.points, _interpolate(calls, virtual)])
    within = Options(options.region, pool.include, tuple(range(count, len(both))), PLAN_SECONDS)
    chosen = minimum(both, aim, within).members
    gap = worst_gap(pool.points[list(chosen)], upper_points(calls), options.region)
    return pool.selection("placement", chosen, started, stopped + note, gap, "certified")


def _least_known(calls: Calls, region: Region | None) -> list[Floats]:
    """The weights where the certified gap of all found policies is largest.

    None where it is next to nothing.
    """
    vertices = envelope_vertices(calls.points, region)
    gaps = upper_envelope(upper_points(calls), vertices) - upper_envelope(calls.points, vertices)
    order = np.argsort(-gaps, kind="stable")
    return [vertices[i] for i in order if gaps[i] > SETTLED and not calls.has_asked(vertices[i])][
        :1
    ]


def _virtual_weights(d: int, region: Region | None) -> Floats:
    weights = grid(d, VIRTUAL.get(d, 4))
    if region is None:
        return weights
    # The simplex' grid, moved into the region: convex combinations of its corners.
    inside = weights[region.contains(weights)]
    return np.vstack([region.corners(), region.centre()[None], inside])


def _interpolate(calls: Calls, weights: Floats) -> Floats:
    """Points predicted at `weights` (m, d), never above what a call has proved possible."""
    from scipy.interpolate import RBFInterpolator

    known, index = np.unique(np.round(calls.weights, 9), axis=0, return_index=True)
    points = calls.points[index]
    spline = RBFInterpolator(
        known[:, :-1], points, kernel="thin_plate_spline", degree=1, smoothing=1e-9
    )
    predicted = np.asarray(spline(weights[:, :-1]))
    excess = (predicted @ calls.weights.T - calls.optima).max(axis=1)
    return np.asarray(predicted - np.maximum(excess, 0.0)[:, None])
