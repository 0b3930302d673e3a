"""Fields, coverage, regions and the simplex, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.fields import coverage, gap_field, population, region_shares, usage
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import (
    grid,
)
from tests.support.bundles import sphere


def test_coverage_and_regions_match_areas_known_in_closed_form() -> None:
    corners = np.eye(3)
    assert region_shares(corners, 40_000) == pytest.approx([1 / 3] * 3, abs=0.01)
    # Against the first corner alone the gap is max(w) - w_1 <= 0 exactly where w_1 is largest: a
    # third.
    found = coverage(corners[:1], corners, threshold=0.0)
    assert found.share == pytest.approx(1 / 3, abs=4 * found.standard_error)
    assert coverage(corners, corners, threshold=0.0).share == 1


def test_the_field_names_the_member_that_is_picked() -> None:
    field = gap_field(np.eye(2), np.eye(2), [[0.9, 0.1], [0.2, 0.8]])
    assert field.member.tolist() == [0, 1]
    assert field.gap == pytest.approx([0, 0])


def test_multiplicative_coverage_against_a_grid() -> None:
    points = sphere(8, 3, 5)
    sampled = grid(3, 150)
    best = (sampled @ points.T).max(axis=1)
    ours = (sampled @ points[:2].T).max(axis=1)
    exact = float(((best - ours) <= 0.1 * best).mean())
    found = coverage(points[:2], points, 0.1, multiplicative=True)
    assert found.share == pytest.approx(exact, abs=0.03)


def test_usage_of_a_population() -> None:
    corners = np.eye(3)
    even = usage(corners, corners, population(3, 6000))
    assert even.shares == pytest.approx(np.full(3, 1 / 3), abs=0.03)
    assert even.perplexity == pytest.approx(3, abs=0.01)
    one_sided = usage(corners, corners, population(3, 6000, [50, 1, 1]))
    assert one_sided.perplexity < 1.1
    assert one_sided.shares[0] > 0.97
    with pytest.raises(InvalidInputError, match="positive"):
        population(3, 10, [1, 0, 1])


def test_fields_of_a_region() -> None:
    region = Region(np.array([0.6, 0, 0]), np.ones(3))
    assert region_shares(np.eye(3), region=region) == pytest.approx([1, 0, 0])
    assert coverage(np.eye(3)[:1], np.eye(3), 0.0, region=region).share == 1
