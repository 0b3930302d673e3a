"""PALM's grid: its size, its bound, its calls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis import strategies as st

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_violation
from palm_engine.oracles.table import TableOracle
from palm_engine.selection.options import Options
from palm_engine.selection.palm import grid_size, palm, palm_grid, promised_size, size_upper_bound
from palm_engine.selection.result import Target
from tests.support.bundles import CountingTable, sphere


@given(some.integers(2, 4), some.floats(0.02, 0.5))
def test_the_promised_size_is_no_larger_than_an_even_split(d: int, gap: float) -> None:
    assert 1 <= promised_size(d, gap) <= size_upper_bound(d, gap / 2, gap / 2)
    assert promised_size(d, gap) >= promised_size(d, min(gap * 1.5, 0.99))
    # A share of a best value that may be small is the stronger promise, so it takes more members.
    assert promised_size(d, gap, 0.3) >= promised_size(d, gap, 1.0) == promised_size(d, gap)


def test_palm_grid_has_the_published_size() -> None:
    for d in (2, 3, 4):
        grid = palm_grid(d, 0.3, 0.2)
        assert len(grid) == grid_size(d, 0.3, 0.2)
        assert np.allclose(grid.sum(axis=1), 1)
    with pytest.raises(InvalidInputError, match="limit"):
        palm_grid(6, 0.01, 0.01)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3, 4]))
def test_the_grid_bound_holds_between_its_weights(seed: int, d: int) -> None:
    """One policy a grid weight is an (eps, delta)-portfolio, whatever the policies are (rewards in
    [0, 1]).
    """
    rng = np.random.default_rng(seed)
    points = rng.random((80, d))
    eps = 0.15
    delta = 0.1
    rows = TableOracle(points).answer(palm_grid(d, eps, delta)).rows
    assert rows is not None
    kept = np.unique(rows)
    assert len(kept) <= size_upper_bound(d, eps, delta)
    assert worst_violation(points[kept], points, eps, delta)[0] <= 1e-9


def test_lazy_palm_calls_less_and_keeps_its_promise() -> None:
    points = sphere(60, 3, 1)
    eager = palm(points, Target(delta=0.1))
    lazy = palm(points, Target(delta=0.1), lazy=True)
    assert lazy.oracle_calls < eager.oracle_calls
    assert worst_violation(lazy.points, points, 0.19, 0.3)[0] <= 1e-9


def test_palm_asks_at_every_weight_of_the_grid_it_is_given() -> None:
    oracle = CountingTable(sphere(60, 3, 2))
    found = palm(oracle, Target(k=3), Options(grid_eps=0.3, grid_delta=0.3))
    assert found.oracle_calls == oracle.calls == grid_size(3, 0.3, 0.3)
