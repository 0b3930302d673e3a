"""Placement: its certificate is never below the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.selection.methods import METHODS
from palm_engine.selection.options import Options
from palm_engine.selection.result import Target
from tests.support.bundles import CountingTable, NoisyTable


def sampled_gap(portfolio: np.ndarray, points: np.ndarray) -> float:
    """The largest additive gap at many weights: an independent bound from below."""
    d = points.shape[1]
    w = np.vstack([np.eye(d), np.random.default_rng(0).dirichlet(np.full(d, 0.6), 4000)])
    return float(((w @ points.T).max(axis=1) - (w @ portfolio.T).max(axis=1)).max())


def test_what_few_calls_do_not_certify_is_the_best_found_and_misses_its_target() -> None:
    points = np.abs(np.random.default_rng(0).normal(size=(60, 3)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    target = Target(delta=0.01)
    found = METHODS["placement"].select(points, target, Options(budget=8))
    assert found.stopped == "budget of oracle calls"
    assert found.oracle_calls == 8
    assert found.gap.additive > 0.01
    assert found.gap.additive >= sampled_gap(found.points, points) - 1e-9
    # Without a budget it goes on until the target is certified.
    met = METHODS["placement"].select(points, target, Options())
    assert met.gap.additive <= 0.01 + 1e-9


def test_what_no_placement_certifies_is_certified_by_further_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = np.abs(np.random.default_rng(0).normal(size=(60, 3)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    # As on a machine that is so busy that no plan is finished.
    monkeypatch.setattr("palm_engine.selection.placement.MOST_MEMBERS", 2)
    oracle = CountingTable(points)
    met = METHODS["placement"].select(oracle, Target(delta=0.01), Options())
    assert met.stopped == "target certified"
    assert met.gap.additive <= 0.01 + 1e-8
    assert met.gap.additive >= sampled_gap(met.points, points) - 1e-9
    assert met.oracle_calls == oracle.calls


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
