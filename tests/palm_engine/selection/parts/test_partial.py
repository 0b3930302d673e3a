"""Partial cover against all sets of columns there are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.selection.parts.partial import fewest_serving, most_served


def served(serves: np.ndarray, shares: np.ndarray, columns: tuple[int, ...]) -> float:
    return float(shares[serves[:, list(columns)].any(axis=1)].sum()) if columns else 0.0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.booleans(), st.floats(0.05, 1.0))
def test_both_are_the_best_of_all(seed: int, k: int, with_fixed: bool, share: float) -> None:
    rng = np.random.default_rng(seed)
    serves = rng.random((12, 7)) < 0.3
    serves[0, 0] = True
    shares = rng.dirichlet(np.ones(12))
    fixed = (int(rng.integers(7)),) if with_fixed else ()
    sets = [c for n in range(1, 8) for c in combinations(range(7), n) if set(fixed) <= set(c)]
    most = most_served(serves, shares, k, fixed)
    assert most.columns is not None
    assert set(fixed) <= set(most.columns)
    assert len(most.columns) <= k
    best = max(served(serves, shares, c) for c in sets if len(c) <= k)
    assert most.share == pytest.approx(best)
    assert most.bound == pytest.approx(best, abs=1e-6)
    fewest = fewest_serving(serves, shares, share, fixed)
    enough = [len(c) for c in sets if served(serves, shares, c) >= share - 1e-9]
    if not enough:
        assert fewest.columns is None
        assert not fewest.timed_out
        return
    assert fewest.columns is not None
    assert len(fewest.columns) == min(enough) == fewest.bound
    assert fewest.share >= share - 1e-9


def test_where_time_runs_out_there_is_still_an_answer_that_serves_the_share() -> None:
    rng = np.random.default_rng(1)
    serves = rng.random((4_000, 300)) < 0.05
    shares = np.full(4_000, 1 / 4_000)
    fewest = fewest_serving(serves, shares, 0.95, (3,), time_limit=0.01)
    assert fewest.columns is not None
    assert 3 in fewest.columns
    assert served(serves, shares, fewest.columns) >= 0.95 - 1e-9
    assert fewest.bound <= len(fewest.columns)
    most = most_served(serves, shares, 20, (), time_limit=0.01)
    assert most.columns is not None
    assert len(most.columns) <= 20
