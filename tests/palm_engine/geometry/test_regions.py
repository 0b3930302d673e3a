"""Regions against who is picked at sampled weights."""

from __future__ import annotations

import numpy as np
import pytest

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.fields import population
from palm_engine.geometry.region import Region
from palm_engine.geometry.regions import outline, region_polygons
from tests.support.bundles import sphere


def inside(polygon: np.ndarray, w: np.ndarray) -> bool:
    """Whether weights lie in a convex polygon, by the signs of its edges."""
    at = polygon[:, :2]
    edges = np.roll(at, -1, axis=0) - at
    to = w[:2] - at
    cross = edges[:, 0] * to[:, 1] - edges[:, 1] * to[:, 0]
    return bool((cross >= -1e-12).all() or (cross <= 1e-12).all())


@pytest.mark.parametrize("seed", range(5))
def test_a_member_is_picked_where_its_region_is(seed: int) -> None:
    points = sphere(6, 3, seed)
    polygons = region_polygons(points)
    for w in population(3, count=300, seed=seed):
        values = points @ w
        order = np.sort(values)
        if order[-1] - order[-2] < 1e-6:
            continue
        picked = int(values.argmax())
        assert [i for i, p in enumerate(polygons) if len(p) > 2 and inside(p, w)] == [picked]
    for polygon in polygons:
        np.testing.assert_allclose(polygon.sum(axis=1), 1, atol=1e-9)


def test_the_outline_holds_the_weights_that_count() -> None:
    region = Region(np.array([0.3, 0.0, 0.1]), np.array([1.0, 0.5, 0.4]))
    polygon = outline(region)
    for w in population(3, count=500, seed=1):
        assert inside(polygon, w) == bool(region.contains(w[None])[0])
    assert region.contains(polygon).all()
    np.testing.assert_array_equal(outline(None), np.eye(3))
    with pytest.raises(InvalidInputError, match="3 traits"):
        outline(Region.whole(4))


def test_a_member_that_is_never_picked_has_no_region() -> None:
    assert len(region_polygons([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]])[1]) == 0
    with pytest.raises(InvalidInputError, match="3 traits"):
        region_polygons([[0.1, 0.2]])


def test_of_two_that_tie_everywhere_the_first_has_the_region() -> None:
    one = sphere(4, 3, 1)
    twice = np.vstack([one, one[1] + 1e-13])
    alone, both = region_polygons(one), region_polygons(twice)
    for polygon, other in zip(alone, both, strict=False):
        assert other == pytest.approx(polygon)
    assert both[4].shape == (0, 3)
    assert region_polygons(twice[::-1])[4 - 1].shape == (0, 3)
