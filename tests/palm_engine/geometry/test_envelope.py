"""Upper envelopes of awkward tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine._types import Floats
from palm_engine.geometry import envelope
from palm_engine.geometry.envelope import best_somewhere
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.programs import worst_by_programs
from palm_engine.geometry.region import Region
from tests.support.references import lp_worst_gap


def test_separated_policies_agree_to_twelve_digits() -> None:
    for seed in range(20):
        points = np.random.default_rng(seed).random((30, 3))
        assert worst_gap(points[:4], points).additive == pytest.approx(
            lp_worst_gap(points[:4], points), abs=1e-12
        )


def test_near_duplicates_do_not_break_the_envelope() -> None:
    points = np.random.default_rng(1).random((6, 3))
    doubled = np.vstack([points, points + 1e-12])
    assert worst_gap(points[:3], doubled).additive == pytest.approx(
        worst_gap(points[:3], points).additive, abs=1e-9
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3, 4]), st.integers(1, 14))
def test_who_is_best_somewhere_is_found_by_programs_too(seed: int, d: int, n: int) -> None:
    points = np.random.default_rng(seed).random((n, d))
    found = best_somewhere(points)
    for i in range(n):
        # The largest lead of i over all others on the simplex; negative where it never leads.
        others = np.delete(points, i, axis=0)
        if not len(others):
            assert found[i]
            continue
        lead, _ = worst_by_programs(others, points[i][None])
        if abs(lead) > 1e-7:
            assert found[i] == (lead > 0)


def test_a_policy_between_two_others_is_best_nowhere() -> None:
    points = np.array([[1.0, 0.0], [0.0, 1.0], [0.4, 0.4], [0.5, 0.5]])
    assert best_somewhere(points).tolist() == [True, True, False, True]
    only = Region(np.array([0.8, 0.0]), np.array([1.0, 1.0]))
    assert best_somewhere(points, only).tolist() == [True, False, False, False]


@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("kind", ["inside", "sphere", "ties", "negative"])
def test_most_policies_are_passed_over_and_the_best_value_is_the_same(
    monkeypatch: pytest.MonkeyPatch, kind: str, d: int
) -> None:
    rng = np.random.default_rng(d)
    points = rng.random((700, d))
    if kind == "sphere":
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    elif kind == "ties":
        points = np.round(points, 1)
    elif kind == "negative":
        points -= 2
    weights = np.vstack([np.eye(d), rng.dirichlet(np.full(d, 0.5), 400)])
    plain = (weights @ points.T).max(axis=1)
    assert envelope.upper_envelope(points, weights) == pytest.approx(plain, abs=1e-14)
    monkeypatch.setattr(envelope, "MANY", 0)
    monkeypatch.setattr(envelope, "BOX", 16)
    monkeypatch.setattr(envelope, "ROOM", 5_000)
    looked_at = []
    boxes = envelope._boxes(points)
    assert sorted(map(tuple, np.vstack(boxes))) == sorted(map(tuple, points))

    def boxed(u: Floats) -> list[Floats]:
        looked_at.append(len(u))
        return boxes

    monkeypatch.setattr(envelope, "_boxes", boxed)
    assert envelope.upper_envelope(points, weights) == pytest.approx(plain, abs=1e-14)
    assert looked_at == [700]
    # Weights below 0 have no such bound: all policies are looked at.
    odd = -weights
    assert envelope.upper_envelope(points, odd) == pytest.approx((odd @ points.T).max(axis=1))
    assert looked_at == [700]
