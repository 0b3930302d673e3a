"""Exact selection: the provably smallest (eps, delta)-portfolio, and the provably best k of the candidates.

Cutting planes: a set-cover problem on finitely many weights is a relaxation; the exact worst gap of its
solution finds violated envelope vertices, which are added, until none is left. The relaxation's bound holds
for the whole simplex, so the result is optimal among subsets of the candidates, and proved so.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_engine.errors import InfeasibleError
from palm_engine.geometry.envelope import envelope_vertices, upper_envelope
from palm_engine.geometry.gap import require_target, worst_gap
from palm_engine.geometry.policies import as_points
from palm_engine.selection.cover import smallest_cover
from palm_engine.selection.result import Selection, Target

Floats = NDArray[np.float64]
VERTICES_A_ROUND = 40
TOLERANCE = 1e-10


class _Cuts:
    """The growing finite set of weights, with each candidate's deficit V_Q(w) - w·u at each of them."""

    def __init__(self, points: Floats) -> None:
        self.points = points
        d = points.shape[1]
        self.weights = np.empty((0, d))
        self.best = np.empty(0)
        self.deficit = np.empty((0, len(points)))
        self.add(np.vstack([np.eye(d), np.full((1, d), 1 / d)]))

    def add(self, weights: Floats) -> None:
        best = upper_envelope(self.points, weights)
        self.weights = np.vstack([self.weights, weights])
        self.best = np.concatenate([self.best, best])
        self.deficit = np.vstack([self.deficit, best[:, None] - weights @ self.points.T])

    def covers(self, eps: float, delta: float) -> NDArray[np.bool_]:
        return np.asarray(self.deficit <= (eps * self.best + delta)[:, None] + TOLERANCE)


def minimum(points: ArrayLike, target: Target, time_limit: float | None = None) -> Selection:
    """Select from candidates `points` (n, d): best k, or fewest for (eps, delta); exact over the whole simplex.

    With `time_limit` (seconds) it may stop early, with the best found and the bound proved so far. Raises
    InfeasibleError when time is up before any portfolio that meets the target was found.
    """
    q = as_points(points)
    started = time.perf_counter()
    deadline = None if time_limit is None else started + time_limit
    if target.k is not None:
        return _best_of_size(q, min(target.k, len(q)), started, deadline)
    require_target(q, target.eps, target.delta)
    return _fewest(q, target.eps, target.delta, started, deadline)


def size_curve(points: ArrayLike, max_k: int, time_limit: float | None = None) -> list[Selection]:
    """The exact best portfolio of every size 1 .. max_k; stops early at a size whose worst gap is 0."""
    curve: list[Selection] = []
    for k in range(1, min(max_k, len(as_points(points))) + 1):
        curve.append(minimum(points, Target(k=k), time_limit))
        if curve[-1].gap.additive <= TOLERANCE:
            break
    return curve


def _fewest(q: Floats, eps: float, delta: float, started: float, deadline: float | None) -> Selection:
    cuts, bound = _Cuts(q), 1
    while True:
        left = None if deadline is None else deadline - time.perf_counter()
        cover = smallest_cover(cuts.covers(eps, delta), at_least=bound, time_limit=left)
        bound = max(bound, cover.lower_bound)
        if cover.columns is None:
            raise InfeasibleError("time was up before a portfolio for this target was found; raise the time limit")
        members = list(cover.columns)
        vertices = envelope_vertices(q[members])
        violation = (1 - eps) * upper_envelope(q, vertices) - delta - upper_envelope(q[members], vertices)
        if violation.max() <= 10 * TOLERANCE:
            stopped = "time limit" if cover.timed_out else "proved optimal"
            return Selection(
                "minimum", tuple(members), worst_gap(q[members], q), size_lower_bound=bound,
                seconds=time.perf_counter() - started, stopped=stopped,
            )  # fmt: skip
        cuts.add(_worst_first(vertices, violation, 10 * TOLERANCE))


def _best_of_size(q: Floats, k: int, started: float, deadline: float | None) -> Selection:
    cuts = _Cuts(q)
    members = _greedy_start(q, k, cuts)
    lower, upper = 0.0, max(worst_gap(q[members], q).additive, 0.0)
    stopped = "proved optimal"
    # Within two tolerances a cover may neither lower the bound nor be cut off: stop there.
    while upper - lower > 2 * TOLERANCE:
        if deadline is not None and time.perf_counter() > deadline:
            stopped = "time limit"
            break
        delta = (lower + upper) / 2
        left = None if deadline is None else deadline - time.perf_counter()
        cover = smallest_cover(cuts.covers(0.0, delta), at_most=k, time_limit=left)
        if cover.timed_out:
            stopped = "time limit"
            break
        if cover.columns is None:
            # No k candidates do at delta, nor at any value below the next deficit that occurs.
            above = cuts.deficit[cuts.deficit > delta + TOLERANCE]
            lower = min(float(above.min()), upper) if len(above) else upper
            continue
        found = list(cover.columns)
        vertices = envelope_vertices(q[found])
        gaps = upper_envelope(q, vertices) - upper_envelope(q[found], vertices)
        if gaps.max() < upper:
            members, upper = found, max(float(gaps.max()), lower)
        if gaps.max() > delta + TOLERANCE:
            cuts.add(_worst_first(vertices, gaps, delta + TOLERANCE))
    return Selection(
        "minimum", tuple(sorted(members)), worst_gap(q[members], q), gap_lower_bound=min(lower, upper),
        seconds=time.perf_counter() - started, stopped=stopped,
    )  # fmt: skip


def _greedy_start(q: Floats, k: int, cuts: _Cuts) -> list[int]:
    # Add the best candidate for the currently worst weights, k times: an upper bound and useful first cuts.
    members = [int(np.argmin(cuts.deficit.max(axis=0)))]
    while True:
        vertices = envelope_vertices(q[members])
        gaps = upper_envelope(q, vertices) - upper_envelope(q[members], vertices)
        cuts.add(_worst_first(vertices, gaps, 0.0))
        if len(members) == k or gaps.max() <= TOLERANCE:
            return sorted(members)
        members.append(int(np.argmax(vertices[int(np.argmax(gaps))] @ q.T)))


def _worst_first(vertices: Floats, gaps: Floats, above: float) -> Floats:
    order = np.argsort(-gaps)[:VERTICES_A_ROUND]
    return vertices[order[gaps[order] > above]] if (gaps[order] > above).any() else vertices[order[:1]]
