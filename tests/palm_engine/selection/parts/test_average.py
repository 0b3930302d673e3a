"""Among portfolios as good at worst, the best on average: against all portfolios there are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.geometry.fields import population
from palm_engine.geometry.gap import worst_additive_gap, worst_violation
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.parts import average
from palm_engine.selection.parts.average import USERS, with_least_expected_gap
from palm_engine.selection.result import Target
from tests.support.bundles import sphere


def expected(points: np.ndarray, rows: tuple[int, ...]) -> float:
    values = population(points.shape[1], USERS) @ points.T
    return float((values.max(axis=1) - values[:, list(rows)].max(axis=1)).mean())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3, 4]), st.integers(1, 4), st.floats(0.0, 0.5))
def test_it_is_the_best_on_average_of_those_within_the_slack(
    seed: int, d: int, k: int, slack: float
) -> None:
    points = np.random.default_rng(seed).random((9, d))
    best = minimum(points, Target(k=k))
    found = with_least_expected_gap(points, best, slack)
    if slack == 0:
        assert found is best
        return
    limit = best.gap.additive + max(slack * best.gap.additive, 0.001)
    near = [
        rows
        for rows in combinations(range(9), len(best.members))
        if worst_additive_gap(points[list(rows)], points) <= limit
    ]
    assert expected(points, found.members) == pytest.approx(
        min(expected(points, rows) for rows in near), abs=1e-12
    )
    assert found.gap.additive == pytest.approx(
        worst_additive_gap(points[list(found.members)], points)
    )
    assert found.gap.additive <= limit
    assert found.gap_lower_bound == best.gap_lower_bound


def test_of_many_it_exchanges_members_and_keeps_those_that_must_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(average, "MOST_LOOKED_AT", 0)
    points = sphere(30, 3, 3)
    best = minimum(points, Target(k=4))
    found = with_least_expected_gap(points, best, 0.5)
    assert expected(points, found.members) < expected(points, best.members)
    assert found.gap.additive <= 1.5 * best.gap.additive
    fixed = with_least_expected_gap(points, best, 0.5, Options(include=best.members[:2]))
    assert set(best.members[:2]) <= set(fixed.members)
    assert len(fixed.members) == 4
    without = with_least_expected_gap(
        points, minimum(points, Target(k=4), Options(exclude=(3,))), 0.5, Options(exclude=(3,))
    )
    assert 3 not in without.members


@pytest.mark.parametrize("most", [0, 5_000])
def test_the_fewest_for_a_tolerance_keep_it(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(average, "MOST_LOOKED_AT", most)
    points = sphere(16, 3, 5)
    target = Target(eps=0.02, delta=0.02)
    fewest = minimum(points, target)
    found = with_least_expected_gap(points, fewest, 0.5, target=target)
    assert len(found.members) == len(fewest.members)
    assert worst_violation(points[list(found.members)], points, 0.02, 0.02)[0] <= 1e-9
    assert expected(points, found.members) < expected(points, fewest.members)


def test_of_very_many_only_those_that_are_best_somewhere_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    points = np.vstack([sphere(30, 3, 3), sphere(4_000, 3, 4) * rng.random((4_000, 1))])
    monkeypatch.setattr(average, "MOST_COLUMNS", 1_000)
    best = minimum(points, Target(k=3))
    found = with_least_expected_gap(points, best, 0.5)
    assert found.gap.additive <= 1.5 * best.gap.additive + 1e-9
    assert expected(points, found.members) <= expected(points, best.members)
    monkeypatch.setattr(average, "MOST_COLUMNS", 5)
    assert with_least_expected_gap(points, best, 0.5) is best
