"""The contract's limits: time, budget, batch, seed, many traits, boundary values.

And selection on regions.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.errors import InvalidInputError, UndefinedGapError
from palm_engine.geometry.gap import worst_gap, worst_violation
from palm_engine.geometry.region import Region
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.selection.methods import METHODS
from palm_engine.selection.minimum import minimum, size_curve
from palm_engine.selection.options import Options
from palm_engine.selection.palm import grid_size, palm
from palm_engine.selection.result import Target
from tests.support.bundles import CountingTable, NoisyTable, sphere

NAMES = sorted(METHODS)


def sampled_gap(portfolio: np.ndarray, points: np.ndarray) -> float:
    """The largest additive gap at many weights: an independent bound from below."""
    d = points.shape[1]
    w = np.vstack([np.eye(d), np.random.default_rng(0).dirichlet(np.full(d, 0.6), 4000)])
    return float(((w @ points.T).max(axis=1) - (w @ portfolio.T).max(axis=1)).max())


BOUNDARY = np.vstack([np.eye(4), np.zeros((1, 4)), np.full((1, 4), 1.0), np.eye(4)[::-1] * 0.5])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", [Target(k=6), Target(delta=0.002)], ids=["budget", "tolerance"])
def test_a_time_limit_returns_the_best_found_and_says_so(name: str, target: Target) -> None:
    points = sphere(250, 4, 3)
    found = METHODS[name].select(points, target, Options(time_limit=1e-4))
    assert found.members
    assert found.gap.additive >= sampled_gap(found.points, points) - 1e-9
    met = target.k is None and worst_violation(found.points, points, 0.0, target.delta)[0] <= 1e-8
    if target.k is None and not met and name != "palm":  # PALM's target is one on its grid
        assert "time limit" in found.stopped


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("d", [5, 6, 7, 8])
def test_many_traits_work_with_every_method(name: str, d: int) -> None:
    points = sphere(25, d, d)
    options = Options(time_limit=2, budget=2 * d)
    if name == "palm":
        if d > 5:
            with pytest.raises(InvalidInputError, match="1,000,000"):
                palm(points, Target(k=3))
        found = palm(points, Target(k=3), Options(grid_eps=0.7, grid_delta=0.7))
    else:
        found = METHODS[name].select(points, Target(k=3), options)
    assert 1 <= len(found.members) <= 3
    assert found.gap.additive >= sampled_gap(found.points, points) - 1e-9


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "points",
    [BOUNDARY, 1e-9 * sphere(9, 3, 0), 1 - 1e-9 * sphere(9, 3, 0)],
    ids=["boundary", "near 0", "near 1"],
)
def test_values_at_the_ends_of_their_range(name: str, points: np.ndarray) -> None:
    found = METHODS[name].select(points, Target(k=2))
    assert found.gap.additive >= sampled_gap(found.points, points) - 1e-9
    with pytest.raises((UndefinedGapError, InvalidInputError)):
        METHODS[name].select(-points - 1, Target(k=2, multiplicative=True))


@pytest.mark.parametrize("name", ["greedy", "palm", "uniform", "random"])
def test_a_relative_budget_is_refused_where_it_would_be_ignored(name: str) -> None:
    with pytest.raises(InvalidInputError, match="additive gap only"):
        METHODS[name].select(sphere(10, 3, 0), Target(k=2, multiplicative=True))


@pytest.mark.parametrize("name", ["minimum", "adaptive", "placement"])
def test_a_relative_budget_is_at_least_the_exact_relative_best(name: str) -> None:
    points = sphere(20, 3, 5)
    best = min(
        worst_gap(points[list(c)], points).multiplicative or 1.0 for c in combinations(range(20), 2)
    )
    found = METHODS[name].select(points, Target(k=2, multiplicative=True))
    assert found.gap.multiplicative is not None
    assert found.gap.multiplicative >= best - 1e-9
    if name == "minimum":
        assert found.gap.multiplicative == pytest.approx(best, abs=1e-8)


@pytest.mark.parametrize(
    ("eps", "delta", "k"),
    [
        (1.0, 0, None),
        (1.5, 0.1, None),
        (-0.1, 0.1, None),
        (0, -0.1, None),
        (0, np.nan, None),
        (0.1, 0, 2),
    ],
)
def test_targets_that_make_no_sense_are_refused_before_any_method(
    eps: float, delta: float, k: int | None
) -> None:
    with pytest.raises(InvalidInputError):
        Target(k=k, eps=eps, delta=delta)


@pytest.mark.parametrize("name", ["adaptive", "placement", "uniform", "random", "palm"])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("target", [Target(k=5), Target(k=12), Target(delta=0.9)])
def test_a_budget_of_oracle_calls_is_kept_and_counted(
    name: str, batch: int, target: Target
) -> None:
    oracle = CountingTable(sphere(60, 3, 2))
    found = METHODS[name].select(oracle, target, Options(budget=9, batch=batch))
    assert 1 <= found.oracle_calls == oracle.calls <= 9


def test_palm_asks_at_every_weight_of_the_grid_it_is_given() -> None:
    oracle = CountingTable(sphere(60, 3, 2))
    found = palm(oracle, Target(k=3), Options(grid_eps=0.3, grid_delta=0.3))
    assert found.oracle_calls == oracle.calls == grid_size(3, 0.3, 0.3)


def test_the_seed_is_what_random_depends_on() -> None:
    points = sphere(60, 3, 2)
    draws = {
        METHODS["random"].select(points, Target(k=4), Options(seed=s)).members for s in range(6)
    }
    again = METHODS["random"].select(points, Target(k=4), Options(seed=3)).members
    assert again in draws
    assert len(draws) > 1


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


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.05))
def test_placements_certificate_is_never_below_the_truth_with_a_noisy_oracle(
    seed: int, eta: float
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.random((40, 3))
    found = METHODS["placement"].select(
        NoisyTable(points, eta, rng), Target(k=3), Options(budget=14)
    )
    assert found.gap.additive >= sampled_gap(found.points, points) - 1e-9


@pytest.mark.parametrize("select_name", NAMES)
def test_every_member_stands_for_weights_where_it_is_picked(select_name: str) -> None:
    points = sphere(40, 3, 6)
    found = METHODS[select_name].select(points, Target(k=4), Options(budget=20))
    stands = found.stands_for()
    assert len(stands) == len(found.members)
    for i, w in enumerate(stands):
        if w is not None:
            assert w.sum() == pytest.approx(1)
            # A region is convex, so its middle is inside.
            assert float(points[found.members[i]] @ w) == pytest.approx(
                float((found.points @ w).max()), abs=1e-3
            )


def test_an_oracles_members_stand_for_where_they_were_found() -> None:
    oracle = GibbsOracle(np.random.default_rng(3).random((12, 10, 3)), 0.1)
    found = METHODS["adaptive"].select(oracle, Target(k=3), Options(budget=15))
    for w, point in zip(found.stands_for(), found.points, strict=True):
        assert oracle.answer(np.asarray(w)[None]).points[0] == pytest.approx(point)
