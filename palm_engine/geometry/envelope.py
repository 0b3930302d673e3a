"""The upper envelope `V_P(w) = max over P of w·u` on the simplex, and its vertices.

V_P is convex and piecewise linear; the cells where one member is best are polytopes. A convex
function minus V_P is largest at one of their vertices, which is what makes worst gaps exact.
Vertices are those of a half-space intersection, dual to a convex hull (Quickhull, Barber, Dobkin
and Huhdanpaa 1996, doi:10.1145/235815.235821).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_engine._types import Booleans, Floats
from palm_engine.geometry.policies import as_points
from palm_engine.geometry.region import Region

BLOCK = 100_000
# Values of policies at weights from which on most are passed over; policies of a box; values of
# boxes that are held at once.
MANY = 1_000_000_000
BOX = 512
ROOM = 4_000_000
# Policies whose values differ by less tie, and the first is taken; as in the browser.
TIE = 1e-12


def upper_envelope(points: ArrayLike, weights: ArrayLike) -> Floats:
    """The best value at given weights.

    Args:
        points: policies, shape (n, d).
        weights: shape (m, d).

    Returns:
        V(w) at each row of `weights`, shape (m,).
    """
    w = np.asarray(weights)
    u = np.asarray(points)
    if len(w) * len(u) <= BLOCK:
        return np.asarray((w @ u.T).max(axis=1))
    if len(w) * len(u) > MANY and len(u) > 4 * BOX and w.min() >= 0:
        return _by_boxes(w, u)
    # In blocks that stay in the processor's cache: several times faster on large fields.
    rows = max(1, BLOCK // len(u))
    return np.concatenate([(w[i : i + rows] @ u.T).max(axis=1) for i in range(0, len(w), rows)])


def _by_boxes(w: Floats, u: Floats) -> Floats:
    """`upper_envelope` without looking at most policies, exact all the same.

    Neighbours share a box; no policy in it is worth more than the box's upper corner. Boxes whose
    corner is worth less than a policy that was found are passed over (branch and bound; Land and
    Doig 1960, doi:10.2307/1910129).

    Args:
        w: weights at least 0, shape (m, d).
        u: policies, shape (n, d).
    """
    boxes = _boxes(u)
    corners = np.array([box.max(axis=0) for box in boxes])
    found = np.empty(len(w))
    step = max(1, ROOM // len(boxes))
    for start in range(0, len(w), step):
        part = w[start : start + step]
        at_most = part @ corners.T
        best = np.full(len(part), -np.inf)
        first = at_most.argmax(axis=1)
        for i in np.unique(first):
            rows = np.flatnonzero(first == i)
            best[rows] = (part[rows] @ boxes[i].T).max(axis=1)
        at_most[np.arange(len(part)), first] = -np.inf
        for i in np.flatnonzero((at_most > best[:, None]).any(axis=0)):
            rows = np.flatnonzero(at_most[:, i] > best)
            if len(rows):
                best[rows] = np.maximum(best[rows], (part[rows] @ boxes[i].T).max(axis=1))
        found[start : start + step] = best
    return found


def _boxes(u: Floats) -> list[Floats]:
    """Policies in groups of at most BOX, halved again and again along their widest trait."""
    left = [u]
    boxes = []
    while left:
        group = left.pop()
        if len(group) <= BOX:
            boxes.append(group)
            continue
        half = len(group) // 2
        order = np.argpartition(group[:, np.ptp(group, axis=0).argmax()], half)
        left += [group[order[:half]], group[order[half:]]]
    return boxes


def best_policy(points: ArrayLike, weights: ArrayLike) -> NDArray[np.intp]:
    """The best policy at given weights; the first of those that tie within TIE.

    Args:
        points: policies, shape (n, d).
        weights: shape (m, d).

    Returns:
        A row of `points` for each row of `weights`, shape (m,).
    """
    scores = np.asarray(weights) @ np.asarray(points).T
    return np.asarray((scores >= scores.max(axis=1, keepdims=True) - TIE).argmax(axis=1))


def best_somewhere(points: ArrayLike, region: Region | None = None) -> Booleans:
    """Which policies some weights make best; no linear preference asks for the others.

    A policy that is best somewhere is best at a vertex of the envelope, alone or tied.

    Args:
        points: policies, shape (n, d).
        region: the weights that count; None is the whole simplex.

    Returns:
        Shape (n,).
    """
    u = as_points(points)
    found = np.zeros(len(u), dtype=bool)
    # What rounding moves a vertex by, in units of the points' spread.
    slack = TIE + 1e-9 * float(np.ptp(u, axis=0).max())
    vertices = envelope_vertices(u, region)
    rows = max(1, BLOCK // len(u))
    for start in range(0, len(vertices), rows):
        values = vertices[start : start + rows] @ u.T
        found |= (values >= values.max(axis=1, keepdims=True) - slack).any(axis=0)
    return found


def envelope_vertices(points: ArrayLike, region: Region | None = None) -> Floats:
    """All vertices of the cells of an upper envelope, the corners of the region included.

    Points off the envelope, duplicates and ties are harmless.

    Args:
        points: policies, shape (n, d).
        region: the weights that count; None is the whole simplex.

    Returns:
        Weights of shape (m, d); m grows like n^(d/2) at worst.

    Raises:
        InvalidInputError: `points` is no matrix of finite numbers.
    """
    u = np.unique(as_points(points), axis=0)
    d = u.shape[1]
    corners = np.eye(d) if region is None else region.corners()
    if len(u) == 1:
        return corners
    if d == 2:
        cuts = _vertices_segment(u)
        low = corners[:, 0].min()
        high = corners[:, 0].max()
        return np.vstack([cuts[(cuts[:, 0] > low) & (cuts[:, 0] < high)], corners])
    return _unique_rows(np.vstack([corners, _vertices_qhull(u, region)]))


def _vertices_segment(u: Floats) -> Floats:
    # d = 2: the envelope of lines over w_1 in [0, 1], swept from left to right.
    slope = u[:, 0] - u[:, 1]
    intercept = u[:, 1]
    here = 0.0
    value = intercept.max()
    current = int(np.lexsort((slope, np.isclose(intercept, value, rtol=0, atol=1e-15)))[-1])
    cuts = [0.0]
    while True:
        steeper = np.flatnonzero(slope > slope[current] + 1e-15)
        if not len(steeper):
            break
        crossing = (intercept[current] - intercept[steeper]) / (slope[steeper] - slope[current])
        crossing = np.maximum(crossing, here)
        nearest = crossing.min()
        if nearest >= 1.0:
            break
        tied = steeper[crossing <= nearest + 1e-15]
        here = float(nearest)
        current = int(tied[np.argmax(slope[tied])])
        cuts.append(here)
    w = np.unique([*cuts, 1.0])
    return np.column_stack([w, 1 - w])


def _vertices_qhull(u: Floats, region: Region | None) -> Floats:
    """Vertices of {(w, t): t >= w·u for all u, w in the region, t <= top} on the envelope."""
    # Imported here: a page that only shows what is recorded starts a quarter of a second earlier
    # without it.
    from scipy.spatial import HalfspaceIntersection, QhullError

    n, d = u.shape
    # Centred and scaled, so that policies which differ in the sixth digit are still told apart by
    # qhull.
    centred = u - u.mean(axis=0)
    scale = max(float(np.abs(centred).max()), 1e-300)
    centred = centred / scale
    # Coordinates x = (w_1 .. w_{d-1}, t) with w_d = 1 - sum; half-spaces A x + b <= 0.
    last = centred[:, -1:]
    envelope = np.hstack([centred[:, :-1] - last, -np.ones((n, 1)), last])
    least, most = (np.zeros(d), np.ones(d)) if region is None else (region.lower, region.upper)
    sides = [np.hstack([-np.eye(d - 1), np.zeros((d - 1, 1)), least[:-1, None]])]
    sides.append(np.concatenate([np.ones(d - 1), [0.0, least[-1] - 1.0]])[None])
    for i in np.flatnonzero(most < 1):
        # w_i <= most_i; for the last weight, which is 1 - sum, the other way round.
        row = np.zeros(d + 1)
        row[:-2], row[-1] = (-1.0, 1 - most[i]) if i == d - 1 else (0.0, -most[i])
        if i < d - 1:
            row[i] = 1.0
        sides.append(row[None])
    top = float(centred.max()) + 2.0
    lid = np.concatenate([np.zeros(d - 1), [1.0, -top]])[None]
    halfspaces = np.vstack([envelope, *sides, lid])
    middle = np.full(d, 1.0 / d) if region is None else region.centre()
    inside = np.concatenate([middle[:-1], [top - 0.5]])
    try:
        vertices = HalfspaceIntersection(halfspaces, inside).intersections
    except QhullError:
        # Joggled input only perturbs *where* we look; every gap is then evaluated exactly at those
        # weights.
        vertices = HalfspaceIntersection(halfspaces, inside, qhull_options="QJ").intersections
    w = np.hstack([vertices[:, :-1], 1 - vertices[:, :-1].sum(axis=1, keepdims=True)])
    w = w[np.isfinite(w).all(axis=1)]
    w = np.clip(w, least, most)
    return np.asarray(w / w.sum(axis=1, keepdims=True))


def _unique_rows(w: Floats) -> Floats:
    _, index = np.unique(np.round(w, 12), axis=0, return_index=True)
    return w[np.sort(index)]
