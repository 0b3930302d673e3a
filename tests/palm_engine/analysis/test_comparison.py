"""Methods side by side: the exact one is never beaten where it chose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from palm_engine.analysis.comparison import coarse_grid, compare_methods
from palm_engine.errors import UndefinedGapError
from palm_engine.geometry.gap import worst_additive_gap, worst_gap
from palm_engine.geometry.region import Region
from palm_engine.selection.parts.grids import grid_size
from tests.support.bundles import sphere


@settings(max_examples=15)
@given(some.integers(2, 4), some.integers(0, 10_000))
def test_no_method_beats_the_exact_one_where_it_chose(d: int, seed: int) -> None:
    points = sphere(9, d, seed)
    told: list[float] = []
    curves = {
        c.method: c
        for c in compare_methods(points, points, (1, 2, 3), report=lambda s, _: told.append(s))
    }
    assert set(curves) == {"minimum", "greedy", "palm", "uniform", "random"}
    for curve in curves.values():
        for best, gap, rows in zip(curves["minimum"].gaps, curve.gaps, curve.members, strict=True):
            assert gap >= best - 2e-6
            if curve.method != "random":
                assert gap == pytest.approx(
                    worst_additive_gap(points[list(rows)], points), abs=1e-12
                )
    low = curves["random"].low
    high = curves["random"].high
    assert low is not None
    assert high is not None
    assert all(a <= m <= b for a, m, b in zip(low, curves["random"].gaps, high, strict=True))
    assert told == sorted(told)


def test_a_multiplicative_comparison_needs_positive_best_values() -> None:
    points = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    with pytest.raises(UndefinedGapError, match="additive"):
        compare_methods(points, points, (1,), multiplicative=True)


@pytest.mark.parametrize("d", range(2, 9))
def test_the_comparison_grid_stays_small(d: int) -> None:
    side = coarse_grid(d)
    assert grid_size(d, side, side) <= 20_000


def test_every_method_is_measured_where_weights_count() -> None:
    points = sphere(10, 2, 1)
    region = Region(np.array([0.4, 0.0]), np.array([1.0, 1.0]))
    for curve in compare_methods(points, points, (1, 2), region=region):
        for rows, gap in zip(curve.members, curve.gaps, strict=True):
            if curve.method != "random":
                expected = worst_gap(points[list(rows)], points, region).additive
                assert gap == pytest.approx(expected)


def test_a_best_value_that_is_positive_where_weights_count_is_enough() -> None:
    points = np.array([[0.9, 0.1, 0.0], [0.2, 0.9, 0.0], [0.5, 0.5, 0.0]])
    with pytest.raises(UndefinedGapError):
        compare_methods(points, points, (1,), multiplicative=True)
    region = Region(np.zeros(3), np.array([1.0, 1.0, 0.3]))
    found = compare_methods(points, points, (1, 2), multiplicative=True, region=region)
    for curve in found:
        if curve.method != "random":
            gap = worst_gap(points[list(curve.members[0])], points, region).multiplicative
            assert curve.gaps[0] == pytest.approx(gap)
