"""The contract that every selection method keeps, whatever it does inside."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.errors import InfeasibleError, InvalidInputError, UndefinedGapError
from palm_engine.geometry.envelope import upper_envelope
from palm_engine.geometry.gap import worst_gap, worst_violation
from palm_engine.geometry.programs import worst_by_programs
from palm_engine.geometry.region import Region
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.selection.methods import METHODS, get_method
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.result import Selection, Target
from tests.support.bundles import sphere

Select = Callable[..., Selection]
NAMES = sorted(METHODS)
ORACLE_METHODS = ["adaptive", "palm", "placement", "random", "uniform"]


@pytest.fixture(params=NAMES)
def select(request: pytest.FixtureRequest) -> Select:
    return METHODS[str(request.param)].select


def test_every_method_has_the_same_first_parameters() -> None:
    for name in NAMES:
        first = list(inspect.signature(METHODS[name].select).parameters)[:3]
        assert first == ["candidates", "target", "options"], name


def test_an_unknown_method_is_refused_with_the_list() -> None:
    with pytest.raises(InvalidInputError, match="minimum, greedy"):
        get_method("best")


@pytest.mark.parametrize("d", [2, 3, 4])
def test_a_budget_is_kept_and_the_gap_is_the_exact_one(select: Select, d: int) -> None:
    points = sphere(30, d, 1)
    found = select(points, Target(k=3))
    assert 1 <= len(found.members) <= 3
    assert list(found.members) == sorted(set(found.members))
    assert found.points == pytest.approx(points[list(found.members)])
    # By one linear program per candidate, independent of vertices.
    reference, _ = worst_by_programs(points[list(found.members)], points)
    if found.scope == "candidates":
        assert found.gap.additive == pytest.approx(reference, abs=1e-8)
    assert found.gap.additive >= reference - 1e-8
    assert found.gap.additive >= minimum(points, Target(k=3)).gap.additive - 1e-9


@pytest.mark.parametrize(("eps", "delta"), [(0.0, 0.05), (0.05, 0.01), (0.1, 0.0)])
def test_a_tolerance_is_met_on_the_whole_simplex(select: Select, eps: float, delta: float) -> None:
    points = sphere(25, 3, 2)
    found = select(points, Target(eps=eps, delta=delta))
    best = minimum(points, Target(eps=eps, delta=delta))
    assert len(found.members) >= len(best.members) == best.size_lower_bound
    if (
        select is METHODS["palm"].select
    ):  # proves its target on its grid only; off it, errors compose
        eps = eps + 0.1 - eps * 0.1
        delta = delta + 0.1
    assert worst_violation(found.points, points, eps, delta)[0] <= 1e-8


@pytest.mark.parametrize(
    "points",
    [
        np.array([[0.4, 0.6, 0.5]]),
        np.array([[0.4, 0.6, 0.5]] * 3),
        np.zeros((4, 3)),
        np.array([[0.4, 0.6, 0.5], [0.4 + 1e-12, 0.6, 0.5], [0.6, 0.4, 0.5]]),
        np.array([[0.9, 0.9, 0.9], [0.1, 0.2, 0.3], [0.9, 0.9, 0.1]]),
        np.array([[0.5, 0.1, 0.9], [0.5, 0.9, 0.1], [0.5, 0.5, 0.6]]),
        -sphere(6, 3, 0),
    ],
    ids=[
        "one",
        "duplicates",
        "zeros",
        "near-duplicates",
        "dominated",
        "constant-trait",
        "negative",
    ],
)
def test_degenerate_tables_are_handled(select: Select, points: np.ndarray) -> None:
    for target in (Target(k=2), Target(delta=0.3)):
        found = select(points, target)
        kept = points[list(found.members)]
        exact = worst_by_programs(kept, points)[0]
        if found.scope == "candidates":
            assert found.gap.additive == pytest.approx(exact, abs=1e-8)
            continue
        assert found.gap.additive >= exact - 1e-9
        # A certificate may stop as soon as it is below its target.
        assert found.gap.additive <= max(exact, target.delta) + 1e-2


def test_nan_is_refused_with_its_place(select: Select) -> None:
    with pytest.raises(InvalidInputError, match="row 1, column 2"):
        select(np.array([[0.1, 0.2, 0.3], [0.1, 0.2, np.nan]]), Target(k=1))


def test_a_multiplicative_target_on_a_negative_best_value_is_refused(select: Select) -> None:
    with pytest.raises((UndefinedGapError, InfeasibleError)):
        select(-sphere(6, 3, 0), Target(eps=0.1))


def test_required_members_are_kept_and_excluded_ones_not(select: Select) -> None:
    points = sphere(20, 3, 4)
    best = minimum(points, Target(k=3)).members
    outsider = next(i for i in range(20) if i not in best)
    assert outsider in select(points, Target(k=3), Options(include=(outsider,))).members
    name = next(n for n, m in METHODS.items() if m.select is select)
    limits = Options(exclude=(best[0],))
    if name in ("adaptive", "placement"):
        with pytest.raises(InvalidInputError, match="can't exclude"):
            select(points, Target(k=3), limits)
        return
    found = select(points, Target(k=3), limits)
    assert best[0] not in found.members
    assert found.gap.additive == pytest.approx(worst_gap(found.points, points).additive)


def test_bounds_on_weights_only_count_what_is_inside(select: Select) -> None:
    points = sphere(40, 3, 5)
    region = Region(np.array([0.3, 0.0, 0.1]), np.array([0.7, 0.5, 1.0]))
    found = select(points, Target(k=2), Options(region=region))
    inside = region.sample(4000, np.random.default_rng(0))
    sampled = (upper_envelope(points, inside) - upper_envelope(found.points, inside)).max()
    assert found.gap.additive >= sampled - 1e-9
    assert region.contains(found.gap.at_weights_additive[None])[0]
    exact = worst_gap(found.points, points, region).additive
    assert found.gap.additive == pytest.approx(
        exact, abs=1e-9 if found.scope == "candidates" else 1e-2
    )


@pytest.mark.parametrize("name", ORACLE_METHODS)
def test_an_oracle_does_in_place_of_a_table(name: str) -> None:
    rewards = np.random.default_rng(3).random((12, 10, 3))
    oracle = GibbsOracle(rewards, 0.1)
    found = METHODS[name].select(oracle, Target(k=4), Options(budget=30))
    assert found.found is not None
    assert found.weights is not None
    assert found.oracle_calls == len(found.found) == len(found.weights)
    assert found.points == pytest.approx(found.found[list(found.members)])
    assert found.scope == ("certified" if name in ("adaptive", "placement") else "sampled")
    if found.scope == "certified":
        weights = np.random.default_rng(0).dirichlet(np.ones(3), size=2000)
        true = (oracle.solve(weights).optimum - upper_envelope(found.points, weights)).max()
        assert found.gap.additive >= true - 1e-9


@pytest.mark.parametrize("name", ["minimum", "greedy", "hypervolume", "medoids"])
def test_methods_that_need_a_table_say_so(name: str) -> None:
    with pytest.raises(InvalidInputError, match="needs a table"):
        METHODS[name].select(GibbsOracle(np.full((2, 3, 3), 0.5), 0.1), Target(k=2))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3, 4]))
def test_renaming_policies_and_traits_changes_nothing(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.random((12, d))
    rows = rng.permutation(12)
    columns = rng.permutation(d)
    for name in ("minimum", "greedy"):
        plain = METHODS[name].select(points, Target(delta=0.1))
        mixed = METHODS[name].select(points[rows][:, columns], Target(delta=0.1))
        if name == "minimum":
            assert len(plain.members) == len(mixed.members)
        assert worst_gap(points[list(rows[list(mixed.members)])], points).additive == pytest.approx(
            mixed.gap.additive
        )


@pytest.mark.parametrize("d", [5, 6, 8])
def test_many_traits(d: int) -> None:
    points = sphere(40, d, 0)
    found = minimum(points, Target(k=4), Options(time_limit=3))
    assert found.gap_lower_bound is not None
    assert found.gap_lower_bound <= found.gap.additive + 1e-9
    early = METHODS["adaptive"].select(points, Target(delta=0.2), Options(budget=12))
    assert early.gap.additive >= worst_gap(early.points, points).additive - 1e-9


@pytest.mark.parametrize("d", [2, 3])
def test_a_time_limit_returns_what_is_proved_so_far(d: int) -> None:
    points = sphere(400, d, 0)
    found = minimum(points, Target(eps=0.02, delta=0.002), Options(time_limit=0.05))
    # On a busy machine even the first portfolio may not be complete by then.
    met = worst_violation(found.points, points, 0.02, 0.002)[0] <= 1e-8
    assert met or found.stopped == "time limit"
    assert found.size_lower_bound is not None
    assert found.size_lower_bound <= len(found.members)
