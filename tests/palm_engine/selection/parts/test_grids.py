"""Grids of weights: their sizes, and what one policy per weight promises between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis import strategies as st

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_violation
from palm_engine.oracles.table import TableOracle
from palm_engine.selection.parts.grids import (
    grid_size,
    palm_grid,
    promised_size,
    size_upper_bound,
    thin_grid,
    thin_grid_size,
)


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


@pytest.mark.parametrize(
    ("d", "eps", "delta", "palm", "thin"),
    [(3, 0.05, 0.01, 33_391, 11_023), (4, 0.1, 0.1, 164_289, 38_767)],
)
def test_the_thin_grid_is_about_one_of_d(
    d: int, eps: float, delta: float, palm: int, thin: int
) -> None:
    assert grid_size(d, eps, delta) == palm
    assert thin_grid_size(d, eps, delta) == size_upper_bound(d, eps, delta) == thin


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from([2, 3, 4]), st.floats(0.1, 0.4), st.floats(0.05, 0.4)
)
def test_the_thin_grid_keeps_its_promise_everywhere(
    seed: int, d: int, eps: float, delta: float
) -> None:
    """Whatever the policies are: random ones, and few that differ much."""
    rng = np.random.default_rng(seed)
    grid = thin_grid(d, eps, delta)
    assert len(grid) == thin_grid_size(d, eps, delta)
    assert len(np.unique(grid.round(12), axis=0)) == len(grid)
    assert np.allclose(grid.sum(axis=1), 1)
    for points in (rng.random((80, d)), rng.random((6, d)) ** 6, np.eye(d)):
        rows = TableOracle(points).answer(grid).rows
        assert rows is not None
        assert worst_violation(points[np.unique(rows)], points, eps, delta)[0] <= 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3, 4]), st.sampled_from([0.2, 0.35]))
def test_every_weights_has_a_grid_weight_within_the_ratio(seed: int, d: int, eps: float) -> None:
    """The lemma behind it, with weights whose exponents tie in their fractions too."""
    rng = np.random.default_rng(seed)
    delta = 0.2
    grid = thin_grid(d, eps, delta)
    exponents = rng.integers(0, 6, d) / rng.choice([1, 2, 3])
    exponents -= exponents.min()
    w = (1 - eps) ** exponents
    support = w >= delta / ((d - 1) * (1 - eps)) * w.max()
    same = grid[((grid > 0) == support).all(axis=1)]
    ratio = np.log(w[support] / same[:, support])
    spread = ratio.max(axis=1) - ratio.min(axis=1)
    assert spread.min() <= -np.log(1 - eps) + 1e-9
