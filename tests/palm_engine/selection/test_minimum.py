"""Exact selection against brute force over all subsets.

PALM as the baseline it must not lose to.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.geometry.gap import worst_additive_gap, worst_gap, worst_violation
from palm_engine.geometry.region import Region
from palm_engine.selection.minimum import minimum, size_curve
from palm_engine.selection.options import Options
from palm_engine.selection.palm import palm
from palm_engine.selection.result import Target
from tests.support.bundles import sphere


def points(seed: int, n: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n, d)).round(2)


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(2, 4), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_best_k_equals_brute_force_and_proves_it(seed: int, n: int, d: int, k: int) -> None:
    q = points(seed, n, d)
    found = minimum(q, Target(k=k))
    best = min(worst_additive_gap(q[list(c)], q) for c in combinations(range(n), min(k, n)))
    assert found.gap.additive == pytest.approx(best, abs=1e-9)
    assert found.gap_lower_bound == pytest.approx(best, abs=1e-9)
    assert len(found.members) <= k


@given(
    st.integers(0, 10_000),
    st.integers(1, 8),
    st.integers(2, 4),
    st.sampled_from([(0.0, 0.1), (0.1, 0.02)]),
)
@settings(max_examples=60, deadline=None)
def test_fewest_equals_brute_force_and_proves_it(
    seed: int, n: int, d: int, target: tuple[float, float]
) -> None:
    q = points(seed, n, d)
    (eps, delta) = target
    found = minimum(q, Target(eps=eps, delta=delta))
    assert worst_violation(q[list(found.members)], q, eps, delta)[0] <= 1e-8
    assert found.size_lower_bound == len(found.members)
    smaller = combinations(range(n), len(found.members) - 1)
    assert all(worst_violation(q[list(c)], q, eps, delta)[0] > 1e-11 for c in smaller if c)


def test_the_curve_falls_and_ends_at_zero() -> None:
    q = sphere(12, 3, 3)
    gaps = [s.gap.additive for s in size_curve(q, 12)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] <= 1e-9


def test_the_exact_method_never_loses_to_palm() -> None:
    for seed in range(5):
        q = sphere(60, 3, seed)
        rival = palm(q, Target(k=4))
        assert len(rival.members) <= 4
        assert minimum(q, Target(k=4)).gap.additive <= rival.gap.additive + 1e-9


def test_a_time_limit_returns_the_best_found_with_its_proved_bound() -> None:
    points = sphere(400, 4, 0)
    found = minimum(points, Target(k=6), options=Options(time_limit=1e-3))
    assert found.stopped == "time limit"
    assert not found.proved
    assert len(found.members) <= 6
    assert found.gap.additive == worst_gap(points[list(found.members)], points).additive
    assert found.gap_lower_bound is not None
    assert found.gap_lower_bound < found.gap.additive


@pytest.mark.parametrize("q", [np.full((5, 3), 0.4), np.zeros((3, 2)), np.ones((1, 4))])
def test_degenerate_tables_need_one_member(q: np.ndarray) -> None:
    assert len(minimum(q, Target(delta=0.01)).members) == 1
    assert minimum(q, Target(k=3)).gap.additive == pytest.approx(0, abs=1e-12)


def test_near_ties_of_1e_10_end() -> None:
    angles = np.linspace(0.1, 1.4, 6)
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    table = np.vstack([circle, circle - 1e-10, circle - 1.5e-10, circle - 2e-10])
    for k in (2, 3):
        assert minimum(table, Target(k=k)).proved


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3]), st.integers(1, 3))
def test_selection_on_a_region_equals_brute_force(seed: int, d: int, k: int) -> None:
    points = np.random.default_rng(seed).random((9, d))
    region = Region(np.full(d, 0.3 / d), np.full(d, 1 - 0.4 / d))
    gaps = [worst_gap(points[list(c)], points, region).additive for c in combinations(range(9), k)]
    assert minimum(points, Target(k=k), Options(region=region)).gap.additive == pytest.approx(
        min(gaps), abs=1e-8
    )
    delta = 0.07
    sizes = [
        size
        for size in range(1, 10)
        if any(
            worst_gap(points[list(c)], points, region).additive <= delta
            for c in combinations(range(9), size)
        )
    ]
    found = minimum(points, Target(delta=delta), Options(region=region))
    assert len(found.members) == sizes[0] == found.size_lower_bound


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3, 4]))
def test_the_curve_falls_and_ignores_the_order_of_policies_and_traits(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.random((14, d))
    curve = [s.gap.additive for s in size_curve(points, 5)]
    assert all(a >= b - 1e-9 for a, b in pairwise(curve))
    mixed = points[rng.permutation(14)][:, rng.permutation(d)]
    assert [s.gap.additive for s in size_curve(mixed, 5)] == pytest.approx(curve, abs=1e-8)
