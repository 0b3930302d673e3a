"""Where to put k policies, with few oracle calls: plan on interpolated policies, ask only at what the plan picks.

A few certified calls; between them policies are interpolated over a fine grid (thin-plate spline over weights), the
exact best k of these virtual policies is found, the oracle is asked at those k weights only, and again until it
stops improving. The result is certified by the same upper bound as the sandwich's.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_engine.errors import InfeasibleError, InvalidInputError, UndefinedGapError
from palm_engine.geometry.gap import worst_violation
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import grid
from palm_engine.oracles.base import Oracle
from palm_engine.oracles.table import as_oracle
from palm_engine.selection.adaptive import choose_certified
from palm_engine.selection.calls import Calls
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.result import Selection, Target
from palm_engine.selection.sandwich import MET, Sandwich, sandwich, upper_points

Floats = NDArray[np.float64]
VIRTUAL = {2: 60, 3: 16, 4: 8, 5: 7, 6: 5, 7: 4, 8: 4}
PLAN_SECONDS = 1.0
BUDGET_CALLS = 35
MOST_MEMBERS = 40
PATIENCE = 2


def placement(candidates: ArrayLike | Oracle, target: Target, options: Options = DEFAULT) -> Selection:
    """The best k that planning on interpolated policies finds within the budget of calls (default 35).

    For (eps, delta), sizes are tried upwards until the certified target is met; raises InfeasibleError where the
    budget is used up before. Excluding candidates is refused, as for `adaptive`.
    """
    if options.exclude:
        raise InvalidInputError("adaptive and placement can't exclude candidates; use minimum or greedy for that")
    started = time.perf_counter()
    oracle = as_oracle(candidates)
    budget = options.budget or BUDGET_CALLS
    between = sandwich(oracle, 0.0, 1e-6, replace(options, budget=max(oracle.d + 1, budget // 2)))
    if target.k is not None:
        return _place(between.calls, target, replace(options, budget=budget), started)
    within = replace(options, budget=budget)
    for k in range(max(_planned_size(between.calls, target, options), len(options.include)), MOST_MEMBERS + 1):
        found = _place(between.calls, Target(k=k), within, started)
        if _meets(found.points, between.calls, target, options):
            return found
        if len(between.calls) >= budget:
            break
    if not _meets(between.calls.points, between.calls, target, options):
        raise InfeasibleError(
            f"placement: {len(between.calls)} oracle calls don't certify this target; raise the budget or loosen it"
        )
    return choose_certified("placement", _bounds(between.calls), target, options, started, "budget of oracle calls")


def _planned_size(calls: Calls, target: Target, options: Options) -> int:
    """How many members the interpolated policies would need; 1 where they can't tell."""
    predicted = _interpolate(calls, _virtual_weights(calls.oracle.d, options.region))
    try:
        return len(minimum(predicted, target, Options(region=options.region, time_limit=PLAN_SECONDS)).members)
    except (InfeasibleError, UndefinedGapError):
        return 1


def _meets(points: Floats, calls: Calls, target: Target, options: Options) -> bool:
    return worst_violation(points, upper_points(calls), target.eps, target.delta, options.region)[0] <= MET


def _place(calls: Calls, target: Target, options: Options, started: float) -> Selection:
    budget = options.budget or BUDGET_CALLS
    virtual = _virtual_weights(calls.oracle.d, options.region)
    best = choose_certified("placement", _bounds(calls), target, options, started)
    without_gain, stopped = 0, "no more improvement"
    while without_gain < PATIENCE:
        if len(calls) >= budget:
            stopped = "budget of oracle calls"
            break
        if options.time_limit is not None and time.perf_counter() - started > options.time_limit:
            stopped = "time limit"
            break
        predicted = _interpolate(calls, virtual)
        plan = minimum(predicted, Target(k=target.k), Options(region=options.region, time_limit=PLAN_SECONDS))
        fresh = [virtual[i] for i in plan.members if not calls.has_asked(virtual[i], 1e-6)]
        if not fresh:
            break
        calls.ask(np.array(fresh[: budget - len(calls)]))
        now = choose_certified("placement", _bounds(calls), target, options, started)
        without_gain = 0 if now.gap.additive < best.gap.additive - 1e-4 else without_gain + 1
        best = now if now.gap.additive <= best.gap.additive else best
    return choose_certified("placement", _bounds(calls), target, options, started, stopped)


def _bounds(calls: Calls) -> Sandwich:
    return Sandwich(calls, upper_points(calls), 0.0, "", ())


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
    spline = RBFInterpolator(known[:, :-1], points, kernel="thin_plate_spline", degree=1, smoothing=1e-9)
    predicted = np.asarray(spline(weights[:, :-1]))
    excess = (predicted @ calls.weights.T - calls.optima).max(axis=1)
    return np.asarray(predicted - np.maximum(excess, 0.0)[:, None])
