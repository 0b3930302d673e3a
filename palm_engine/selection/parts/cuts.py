"""The growing finite set of weights that exact methods work on, and the check off that set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from palm_engine._types import Booleans, Floats
from palm_engine.geometry.envelope import envelope_vertices, upper_envelope
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.programs import takes_programs, worst_by_programs, worst_ratio_by_programs
from palm_engine.geometry.region import Region
from palm_engine.selection.options import Options
from palm_engine.selection.parts.cover import Cover, smallest_cover
from palm_engine.selection.result import Selection

VERTICES_A_ROUND = 40
TOLERANCE = 1e-10
MANY = 3000
MOST_ON_HULL = 200_000


class Cuts:
    """The finite set of weights so far, with each eligible candidate's deficit at each of them.

    Columns are the candidates that may be members; comparators are all.

    Attributes:
        rows: rows of the eligible candidates, (columns,).
        weights: so far, (m, d).
        best: V_Q at them, (m,).
        deficit: V_Q(w) - w·u of each column, (m, columns).
        require: columns that must be kept.
    """

    def __init__(self, points: Floats, options: Options) -> None:
        """Begin with the corners of the region and its centre."""
        self.comparators = comparators(points)
        self.rows = options.eligible(len(points))
        self.points = points[self.rows]
        self.require = [int(np.flatnonzero(self.rows == i)[0]) for i in options.include]
        self.region = options.region or Region.whole(points.shape[1])
        self.weights = np.empty((0, points.shape[1]))
        self.best = np.empty(0)
        self.deficit = np.empty((0, len(self.points)))
        self.add(np.vstack([self.region.corners(), self.region.centre()[None]]))

    def add(self, weights: Floats) -> None:
        """Add weights, shape (m, d)."""
        best, deficit = self.measured(weights)
        self.weights = np.vstack([self.weights, weights])
        self.best = np.concatenate([self.best, best])
        self.deficit = np.vstack([self.deficit, deficit])

    def measured(self, weights: Floats) -> tuple[Floats, Floats]:
        """V_Q at weights (m, d), and V_Q(w) - w·u of each column there, (m, columns)."""
        best = upper_envelope(self.comparators, weights)
        return best, best[:, None] - weights @ self.points.T

    def covers(self, eps: float, delta: float) -> Booleans:
        """Which column keeps a tolerance at which weight, (m, columns)."""
        return np.asarray(self.deficit <= (eps * self.best + delta)[:, None] + TOLERANCE)

    def smallest(self, covers: Booleans, **how: int | float | None) -> Cover:
        """`smallest_cover` that keeps the required columns."""
        if not self.require:
            return smallest_cover(covers, **how)  # type: ignore[arg-type]
        given = len(self.require)
        rest = covers[~covers[:, self.require].any(axis=1)]
        for name in ("at_least", "at_most"):
            if how.get(name) is not None:
                how[name] = max(int(how[name] or 0) - given, 0)
        if not len(rest):
            return Cover(tuple(sorted(self.require)), given)
        found = smallest_cover(rest, **how)  # type: ignore[arg-type]
        columns = None if found.columns is None else tuple(sorted({*found.columns, *self.require}))
        return Cover(columns, found.lower_bound + given, found.timed_out)

    def gaps(
        self,
        columns: Sequence[int],
        eps: float = 0.0,
        delta: float = 0.0,
        multiplicative: bool = False,
    ) -> tuple[Floats, Floats]:
        """The gap of some columns at the vertices of their envelope.

        Args:
            columns: of the portfolio.
            eps: multiplicative tolerance, in [0, 1).
            delta: additive tolerance, at least 0.
            multiplicative: as a share of V_Q.

        Returns:
            Vertices (m, d), and (1-eps) V_Q - delta - V_P at each, (m,).
        """
        p = self.points[list(columns)]
        vertices = envelope_vertices(p, self.region)
        best = upper_envelope(self.comparators, vertices)
        gaps = (1 - eps) * best - delta - upper_envelope(p, vertices)
        return vertices, gaps / best if multiplicative else gaps

    def reach(self, eps: float = 0.0, delta: float = 0.0, multiplicative: bool = False) -> float:
        """The largest gap of all eligible candidates together: what no portfolio is better than.

        Args:
            eps: multiplicative tolerance, in [0, 1).
            delta: additive tolerance, at least 0.
            multiplicative: as a share of V_Q.
        """
        if not takes_programs(len(self.points), self.points.shape[1]):
            return float(self.gaps(range(len(self.rows)), eps, delta, multiplicative)[1].max())
        if multiplicative:
            return worst_ratio_by_programs(self.points, self.comparators, self.region)[0]
        return worst_by_programs(self.points, (1 - eps) * self.comparators, self.region, delta)[0]

    def selection(
        self, method: str, columns: Sequence[int], **more: float | int | str | None
    ) -> Selection:
        """The result for `columns`, in rows of all candidates."""
        kept = sorted(columns)
        gap = worst_gap(self.points[kept], self.comparators, self.region)
        members = tuple(int(self.rows[c]) for c in kept)
        return Selection(method, members, self.points[kept], gap, **more)  # type: ignore[arg-type]


def comparators(points: Floats) -> Floats:
    """The points that matter for the best value (see `comparator_rows`), or all of very many.

    Args:
        points: shape (n, d).
    """
    # Their hull can take longer than `upper_envelope` itself.
    return points if len(points) > MOST_ON_HULL else points[comparator_rows(points)]


def comparator_rows(points: Floats) -> NDArray[np.intp]:
    """The rows that matter for the best value; of more than MANY, the vertices of their hull.

    Exact: a linear function is largest at a vertex. Above d = 4 the hull costs more than it saves.

    Args:
        points: shape (n, d).

    Returns:
        Rows, ascending.
    """
    if len(points) <= MANY or points.shape[1] > 4:
        return np.arange(len(points))
    from scipy.spatial import ConvexHull, QhullError

    try:
        return np.sort(ConvexHull(points).vertices).astype(np.intp)
    except (
        QhullError
    ):  # flat or repeated points: the hull has no interior, so only repetitions are dropped
        return np.sort(np.unique(points, axis=0, return_index=True)[1])


def worst_first(vertices: Floats, gaps: Floats, above: float) -> Floats:
    """Some tens of vertices, those of the largest gaps first; always at least one.

    Args:
        vertices: shape (m, d).
        gaps: at each, (m,).
        above: only gaps above this count.
    """
    order = np.argsort(-gaps)[:VERTICES_A_ROUND]
    return (
        vertices[order[gaps[order] > above]] if (gaps[order] > above).any() else vertices[order[:1]]
    )
