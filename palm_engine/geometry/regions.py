"""Where each member is picked, for three traits: exact convex polygons of the triangle."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.envelope import TIE
from palm_engine.geometry.policies import as_points
from palm_engine.geometry.region import Region


def region_polygons(portfolio: ArrayLike) -> list[Floats]:
    """The region of each member; what ties everywhere belongs to the first, as when one is picked.

    A region is where the member is not behind any other: the triangle cut by one half-plane per
    other member (Sutherland and Hodgman 1974, doi:10.1145/360767.360802).

    Args:
        portfolio: members, shape (k, 3).

    Returns:
        Corners of each region as weights, shape (m, 3), in order around it; (0, 3) for a member
        that is picked nowhere.

    Raises:
        InvalidInputError: not three traits.
    """
    points = as_points(portfolio)
    if points.shape[1] != 3:
        raise InvalidInputError(f"regions are drawn for 3 traits, got {points.shape[1]}")
    found = []
    for row, own in enumerate(points):
        polygon = np.eye(3)
        for number, other in enumerate(points):
            if np.all(np.abs(own - other) < TIE):
                polygon = polygon[:0] if number < row else polygon
            else:
                polygon = _cut(polygon, own - other)
            if not len(polygon):
                break
        found.append(polygon)
    return found


def outline(region: Region | None) -> Floats:
    """The weights that count, on the triangle: corners in order around them, shape (m, 3).

    Args:
        region: of three weights; None is the whole triangle.

    Raises:
        InvalidInputError: not three weights.
    """
    polygon = np.eye(3)
    if region is None:
        return polygon
    if region.d != 3:
        raise InvalidInputError(f"regions are drawn for 3 traits, got {region.d}")
    for i, (low, high) in enumerate(zip(region.lower, region.upper, strict=True)):
        # Weights sum to 1, so that a bound is a half-plane through the origin.
        polygon = _cut(polygon, np.eye(3)[i] - low)
        polygon = _cut(polygon, high - np.eye(3)[i])
    return polygon


def _cut(polygon: Floats, ahead: Floats) -> Floats:
    """The part of a polygon where `ahead`·w >= 0."""
    values = polygon @ ahead
    corners = []
    for i, (corner, value) in enumerate(zip(polygon, values, strict=True)):
        following, next_value = polygon[(i + 1) % len(polygon)], values[(i + 1) % len(polygon)]
        if value >= 0:
            corners.append(corner)
        if (value >= 0) != (next_value >= 0):
            corners.append(corner + value / (value - next_value) * (following - corner))
    return np.array(corners).reshape(-1, 3)
