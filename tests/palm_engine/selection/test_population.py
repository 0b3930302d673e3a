"""Portfolios for a population, against all portfolios there are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.errors import InfeasibleError, InvalidInputError
from palm_engine.geometry.fields import population
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.region import Region
from palm_engine.geometry.users import Users, uniform_users
from palm_engine.selection import population as module
from palm_engine.selection.choose import Aim, choose
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.population import (
    average_of,
    best_on_average,
    fewest_within,
    most_within,
    users_where,
)
from palm_engine.selection.result import Target
from tests.support.bundles import sphere


def some(seed: int, d: int, count: int = 40) -> tuple[np.ndarray, Users]:
    rng = np.random.default_rng(seed)
    users = Users(rng.dirichlet(np.ones(d), count), rng.integers(1, 9, count).astype(float))
    return rng.random((8, d)), users


def gaps(points: np.ndarray, users: Users, members: tuple[int, ...]) -> np.ndarray:
    values = users.weights @ points.T
    return np.asarray(values.max(axis=1) - values[:, list(members)].max(axis=1))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3, 5]), st.integers(1, 4))
def test_each_objective_is_the_best_of_all_portfolios(seed: int, d: int, k: int) -> None:
    points, users = some(seed, d)
    shares = users.counts / users.counts.sum()
    sets = list(combinations(range(8), k))
    found = best_on_average(points, k, users)
    assert found.average is not None
    best = min(shares @ gaps(points, users, s) for s in sets)
    assert found.average.expected == pytest.approx(best, abs=1e-12)
    assert found.average.lower_bound == pytest.approx(best, abs=1e-12)
    assert found.proved
    exact = worst_gap(points[list(found.members)], points)
    assert found.gap.additive == pytest.approx(exact.additive)

    within = most_within(points, k, 0.05, users)
    assert within.average is not None
    best = max(shares[gaps(points, users, s) <= 0.05].sum() for s in sets)
    assert within.average.within == pytest.approx(best)
    assert within.average.tolerance == 0.05

    fewest = fewest_within(points, 0.05, 0.8, users)
    assert fewest.average is not None
    assert fewest.average.within >= 0.8 - 1e-9
    assert fewest.size_lower_bound == len(fewest.members)
    for size in range(1, len(fewest.members)):
        assert all(
            shares[gaps(points, users, s) <= 0.05].sum() < 0.8 for s in combinations(range(8), size)
        )


def test_members_that_change_neither_gap_are_left_out() -> None:
    points = np.vstack([sphere(4, 3, 1), np.full((3, 3), 0.1)])
    found = choose(points, Target(k=6))
    assert set(found.members) == {0, 1, 2, 3}
    assert found.gap.additive == pytest.approx(0, abs=1e-12)
    assert found.average is not None
    assert found.average.expected == pytest.approx(0, abs=1e-12)
    kept = choose(points, Target(k=6), Options(include=(5,)))
    assert set(kept.members) == {0, 1, 2, 3, 5}
    assert len(choose(sphere(12, 3, 0), Target(k=4)).members) == 4


def test_all_users_within_a_loss_is_the_worst_case_on_listed_weights() -> None:
    points = sphere(20, 3, 4)
    users = uniform_users(population(3, 3_000))
    exact = minimum(points, Target(delta=0.05))
    everybody = fewest_within(points, 0.05, 1.0, users)
    assert len(everybody.members) <= len(exact.members)
    assert everybody.gap.additive < 0.08
    nearly = fewest_within(points, 0.05, 0.9, users)
    assert len(nearly.members) < len(everybody.members)


def test_averages_are_as_defined_and_their_bounds_hold_for_other_users() -> None:
    points = sphere(15, 3, 2)
    listed = uniform_users(population(3, 500, seed=1))
    others = uniform_users(population(3, 50_000, seed=2))
    for k in (1, 2, 4):
        found = best_on_average(points, k, listed)
        own = average_of(points, found, listed, 0.1)
        g = gaps(points, listed, found.members)
        assert own.expected == pytest.approx(g.mean())
        assert own.largest == pytest.approx(g.max())
        assert own.within == pytest.approx((g <= 0.1).mean())
        assert sum(own.usage) == pytest.approx(1)
        assert 1 - 1e-9 <= own.perplexity <= k + 1e-9
        true = average_of(points, found, others, 0.1)
        assert own.expected <= true.expected * 1.2
        assert own.expected_at_most >= true.expected
        assert own.expected_at_most <= found.gap.additive
        assert own.within_at_least <= true.within


def test_guardrails_hold_for_populations_too() -> None:
    points, _ = some(3, 3)
    region = Region.from_mappings({"a": 0.4}, {}, ["a", "b", "c"])
    inside = users_where(3, region, 500)
    assert region.contains(inside.weights).all()
    options = Options(region=region, include=(2,), exclude=(0, 1))
    for found in (
        best_on_average(points, 3, inside, options),
        most_within(points, 3, 0.01, inside, options),
        fewest_within(points, 0.3, 0.9, inside, options),
    ):
        assert 2 in found.members
        assert not {0, 1} & set(found.members)
        assert found.gap.additive == pytest.approx(
            worst_gap(points[list(found.members)], points, region).additive
        )


def test_of_many_users_a_part_is_chosen_on_and_nothing_is_called_proved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = sphere(20, 3, 1)
    users = uniform_users(population(3, 2_000))
    whole = best_on_average(points, 3, users)
    monkeypatch.setattr(module, "MOST_CELLS", 20 * 400)
    part = best_on_average(points, 3, users)
    assert part.average is not None
    assert whole.average is not None
    assert part.average.users == 2_000
    assert part.average.lower_bound is None
    assert not part.proved
    assert part.average.expected <= 1.05 * whole.average.expected
    assert fewest_within(points, 0.05, 0.9, users).size_lower_bound is None


@pytest.mark.parametrize(
    ("target", "aim", "method", "why"),
    [
        (Target(delta=0.1), Aim("expected"), "minimum", "takes a budget k"),
        (None, Aim("coverage"), "minimum", "takes a budget k"),
        (None, Aim(), "minimum", "give a target"),
        (Target(k=2), Aim("expected"), "greedy", "method of its own"),
        (Target(k=2), Aim("coverage", share=0.9), "minimum", "not both"),
        (Target(k=2), Aim("coverage", tolerance=-0.1), "minimum", "at least 0"),
        (None, Aim("coverage", share=0.0), "minimum", "share must be above 0"),
        (Target(k=2), Aim("expected", users=uniform_users(np.eye(4))), "minimum", "4 weights"),
    ],
)
def test_what_does_not_go_together_is_refused(
    target: Target | None, aim: Aim, method: str, why: str
) -> None:
    with pytest.raises(InvalidInputError, match=why):
        choose(sphere(6, 3, 0), target, Options(), method, aim)


def test_aims_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="none of worst, expected, coverage"):
        Aim("best")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="slack"):
        Aim(slack=2)
    with pytest.raises(InvalidInputError, match="coverage"):
        Aim("expected", share=0.5)
    with pytest.raises(InfeasibleError, match=r"all of them together reach \d"):
        fewest_within(sphere(6, 3, 0), 0.0, 1.0, users_where(3), Options(exclude=(0, 1, 2)))


def test_a_tie_is_broken_for_the_users_that_are_given() -> None:
    points = sphere(25, 3, 7)
    lean = uniform_users(np.random.default_rng(0).dirichlet([8, 1, 1], 2_000))
    first = choose(points, Target(k=4), aim=Aim(slack=0))
    even, leaning = (choose(points, Target(k=4), aim=Aim(slack=0.5, users=u)) for u in (None, lean))
    assert first.members == minimum(points, Target(k=4)).members
    assert even.average is not None
    assert leaning.average is not None
    worst = first.gap.additive
    for found, users in ((even, users_where(3)), (leaning, lean)):
        assert found.gap.additive <= 1.5 * worst + 1e-9
        others = (average_of(points, other, users).expected for other in (first, even, leaning))
        assert found.average is not None
        assert found.average.expected <= min(others) + 1e-3
