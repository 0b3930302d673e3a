"""The certificate from few oracle calls.

V_P below, a polytope's upper envelope above, the gap between them exact.

A call at w_k with optimum O_k and tolerance eta proves `w_k·u <= O_k + eta` for every policy's
point u, and `u >= floor`. The polytope of all such points has vertices B (qhull), so no policy is
better at w than `max over B of w·b`: an upper envelope like any other, and the worst gap to it is
exact. After optimistic linear support (Roijers 2016, section 3; Mossalam et al. 2016, arXiv
1610.02707), with the worst gap over all weights in place of the improvement at the corners.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.envelope import envelope_vertices, upper_envelope
from palm_engine.geometry.region import Region
from palm_engine.oracles.interface import Oracle
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.calls import Calls

SLACK = 1e-6
MET = 1e-9
CLEAR = 1e-3


@dataclass(frozen=True)
class Sandwich:
    """What a sandwich found and proved.

    Attributes:
        calls: that were made.
        upper: points whose envelope is above every policy's value, (m, d).
        gap: certified additive gap of all found policies.
        stopped: what ended it.
        history: (calls, certified gap) after every round.
    """

    calls: Calls
    upper: Floats
    gap: float
    stopped: str
    history: tuple[tuple[int, float], ...]


def upper_points(calls: Calls) -> Floats:
    """Vertices of {b : w_k·b <= O_k + eta for every call, b >= floor}.

    Args:
        calls: to an oracle.

    Returns:
        Shape (m, d).

    Raises:
        InvalidInputError: the optima contradict the oracle's floor or tolerance.
    """
    from scipy.spatial import HalfspaceIntersection, QhullError

    oracle = calls.oracle
    d = calls.oracle.d
    floor = oracle.floor - SLACK  # lower is safe, and keeps an interior where a trait is constant
    weights, index = np.unique(np.round(calls.weights, 12), axis=0, return_index=True)
    limits = calls.optima[index] + oracle.tolerance
    norms = np.linalg.norm(weights, axis=1)
    sides = np.vstack(
        [
            np.hstack([weights, -limits[:, None]]) / norms[:, None],
            np.hstack([-np.eye(d), np.full((d, 1), floor)]),
        ]
    )
    inside = _inside(sides, calls.points.mean(axis=0), floor)
    try:
        return np.asarray(HalfspaceIntersection(sides, inside).intersections)
    except QhullError:
        # Joggled vertices may lie a little inside: push them out by more than the joggle.
        vertices = HalfspaceIntersection(sides, inside, qhull_options="QJ").intersections
        return np.asarray(vertices + SLACK)


def _inside(sides: Floats, middle: Floats, floor: float) -> Floats:
    """A point strictly inside all `sides` (m, d + 1; unit normal and offset), shape (d,).

    Raises:
        InvalidInputError: there is none.
    """
    # The mean of what was found meets every limit, the lowest corner keeps clear of them: half way
    # is well inside,
    # unless a trait is all but constant.
    half = (middle + floor) / 2
    if (sides[:, :-1] @ half + sides[:, -1]).max() < -CLEAR:
        return np.asarray(half)
    from scipy.optimize import linprog

    d = len(middle)
    ball = linprog(  # the one of largest radius
        np.r_[np.zeros(d), -1.0],
        A_ub=np.hstack([sides[:, :-1], np.ones((len(sides), 1))]),
        b_ub=-sides[:, -1],
        bounds=[(None, None)] * d + [(0, None)],
        method="highs",
    )
    if ball.x is None:
        raise InvalidInputError(
            "the oracle's optima contradict its floor or tolerance: no policy could give them"
        )
    return np.asarray(ball.x[:d])


def sandwich(
    oracle: Oracle,
    eps: float,
    delta: float,
    options: Options = DEFAULT,
    at: Floats | None = None,
    known: Calls | None = None,
) -> Sandwich:
    """Call the oracle where the certified gap is worst, until the target is certified.

    Stops at the target, at the budget of calls, at the time limit (anytime: the certificate it has
    then holds), or where the oracle's tolerance hides the rest.

    Args:
        oracle: to call.
        eps: multiplicative tolerance, in [0, 1).
        delta: additive tolerance, at least 0.
        options: region, budget, time limit, and `batch` worst weights to ask at once.
        at: the only weights that must be served, (m, d); the gap is then about them alone.
        known: calls to `oracle` that were made before, to go on from; they count.
    """
    region = options.region or Region.whole(oracle.d)
    started = time.perf_counter()
    budget = options.budget or 10_000
    calls = known or Calls(oracle)
    corners = region.corners()
    if known is None:
        # Fewer calls than corners: one in the middle, so that every trait has some bound from
        # above.
        few = np.vstack([region.centre(), corners[: budget - 1]])
        calls.ask(corners if budget >= len(corners) else few)
    history: list[tuple[int, float]] = []
    while True:
        upper = upper_points(calls)
        vertices = envelope_vertices(calls.points, options.region) if at is None else at
        above = upper_envelope(upper, vertices)
        ours = upper_envelope(calls.points, vertices)
        violation = (1 - eps) * above - delta - ours
        history.append((len(calls), max(float((above - ours).max()), 0.0)))
        if violation.max() <= MET:
            stopped = "target certified"
            break
        if len(calls) >= budget:
            stopped = "budget of oracle calls"
            break
        if options.late(started):
            stopped = "time limit"
            break
        order = np.argsort(-violation, kind="stable")
        worst = (vertices[i] for i in order if violation[i] > MET)
        count = min(options.batch, budget - len(calls))
        fresh = list(islice((w for w in worst if not calls.has_asked(w)), count))
        if not fresh:
            stopped = "oracle tolerance"
            break
        calls.ask(np.array(fresh))
    return Sandwich(calls, upper, history[-1][1], stopped, tuple(history))
