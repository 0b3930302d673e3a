"""k-median against all sets of columns there are, and its bound."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.selection.parts import median
from palm_engine.selection.parts.median import exchanged_costs, k_median, median_bound


def problem(seed: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((rows, columns)), rng.dirichlet(np.ones(rows))


def cost(costs: np.ndarray, shares: np.ndarray, columns: tuple[int, ...]) -> float:
    return float(
        sum(s * min(row[c] for c in columns) for s, row in zip(shares, costs, strict=True))
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(2, 8), st.integers(1, 4))
def test_it_is_the_cheapest_of_all(seed: int, rows: int, columns: int, k: int) -> None:
    costs, shares = problem(seed, rows, columns)
    k = min(k, columns)
    best = min(cost(costs, shares, c) for c in combinations(range(columns), k))
    found = k_median(costs, shares, k)
    assert found.cost == pytest.approx(best)
    assert found.lower_bound == found.cost
    fixed = (seed % columns,)
    best = min(cost(costs, shares, c) for c in combinations(range(columns), k) if fixed[0] in c)
    assert k_median(costs, shares, k, fixed).cost == pytest.approx(best)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.booleans())
def test_of_many_it_exchanges_and_the_bound_is_below_every_set(
    seed: int, k: int, with_fixed: bool
) -> None:
    costs, shares = problem(seed, 20, 9)
    fixed = (seed % 9,) if with_fixed else ()
    sets = [c for c in combinations(range(9), k) if set(fixed) <= set(c)]
    best = min(cost(costs, shares, c) for c in sets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(median, "MOST_LOOKED_AT", 0)
        found = k_median(costs, shares, k, fixed)
    assert set(fixed) <= set(found.columns)
    assert len(found.columns) == k
    assert found.cost == pytest.approx(cost(costs, shares, found.columns))
    assert found.lower_bound <= best + 1e-9 <= found.cost + 2e-9
    # No single exchange is cheaper.
    after = exchanged_costs(costs, shares, found.columns)
    for place, column in np.ndindex(after.shape):
        if column in found.columns:
            assert after[place, column] == np.inf
            continue
        kept = [c for i, c in enumerate(found.columns) if i != place]
        assert after[place, column] == pytest.approx(cost(costs, shares, (*kept, column)))
        if found.columns[place] not in fixed:
            assert after[place, column] >= found.cost - 1e-9


def test_the_bound_is_close_where_columns_are_near() -> None:
    rng = np.random.default_rng(0)
    users, places = rng.random((300, 2)), rng.random((40, 2))
    costs = np.linalg.norm(users[:, None] - places[None], axis=2)
    shares = np.full(300, 1 / 300)
    found = k_median(costs, shares, 5)
    assert found.lower_bound <= found.cost <= 1.02 * found.lower_bound
    assert median_bound(costs, shares, 5, found.cost) == found.lower_bound
