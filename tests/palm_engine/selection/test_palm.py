"""PALM's grid: its size, its bound, its calls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from palm_engine.geometry.gap import worst_violation
from palm_engine.oracles.interface import Answers
from palm_engine.oracles.table import TableOracle
from palm_engine.selection import palm as module
from palm_engine.selection.options import Options
from palm_engine.selection.palm import palm
from palm_engine.selection.parts.grids import grid_size, palm_grid, thin_grid_size
from palm_engine.selection.result import Target
from tests.support.bundles import CountingTable, NoisyTable, sphere


class Unlisted:
    """A table that doesn't show its rows: calls are all that can be known of it."""

    def __init__(self, table: TableOracle) -> None:
        self._table = table
        self.tolerance = table.tolerance
        self.floor = table.floor
        self.d = table.d

    def answer(self, weights: np.ndarray) -> Answers:
        found = self._table.answer(weights)
        return Answers(found.points, found.optimum)


@settings(max_examples=25, deadline=None)
@example(2867, 3, True, 0.1873, 0.0524, 0.0)  # pruned with the whole target, it missed it by .028
@example(1757, 3, True, 0.18, 0.0287, 0.0)
@given(
    st.integers(0, 10_000),
    st.sampled_from([2, 3, 4]),
    st.booleans(),
    st.floats(0.02, 0.3),
    st.floats(0.01, 0.2),
    st.sampled_from([0.0, 0.02]),
)
def test_lazy_tolerances_compose(
    seed: int, d: int, on_sphere: bool, eps: float, delta: float, eta: float
) -> None:
    """On the grid within the target of everything there is, though few weights were asked; between
    its weights within the target and the grid together.
    """
    rng = np.random.default_rng(seed)
    points = np.abs(rng.normal(size=(60, d))) if on_sphere else rng.random((60, d))
    if on_sphere:
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    table = NoisyTable(points, eta, rng) if eta else TableOracle(points)
    target = Target(eps=eps, delta=delta + 4 * eta)
    grid_eps, grid_delta = 0.2, 0.15
    found = palm(Unlisted(table), target, Options(grid_eps=grid_eps, grid_delta=grid_delta))
    grid = palm_grid(d, grid_eps, grid_delta)
    assert found.oracle_calls <= len(grid) + d
    best = (grid @ points.T).max(axis=1)
    ours = (grid @ found.points.T).max(axis=1)
    assert found.stopped in ("grid certainly served", "oracle tolerance")
    if found.stopped == "grid certainly served":
        assert (ours >= (1 - target.eps) * best - target.delta - 1e-6).all()
        both = target.eps + grid_eps - target.eps * grid_eps
        off = worst_violation(found.points, points, both, target.delta + grid_delta)[0]
        assert off <= 1e-6


def test_lazy_needs_few_calls_where_the_grid_is_fine() -> None:
    points = sphere(60, 3, 1)
    options = Options(grid_eps=0.05, grid_delta=0.05)
    oracle = CountingTable(points)
    lazy = palm(Unlisted(oracle), Target(eps=0.05, delta=0.02), options)
    assert lazy.oracle_calls == oracle.calls <= 60
    assert grid_size(3, 0.05, 0.05) > 10_000
    few = palm(Unlisted(TableOracle(points)), Target(k=3), Options(budget=5))
    assert (few.oracle_calls, few.stopped) == (5, "budget of oracle calls")


def test_a_table_is_asked_everywhere_unless_asked_otherwise() -> None:
    points = sphere(60, 3, 1)
    eager = palm(points, Target(delta=0.1))
    lazy = palm(points, Target(delta=0.1), lazy=True)
    assert eager.oracle_calls == grid_size(3, 0.1, 0.1)
    assert lazy.oracle_calls < eager.oracle_calls / 5
    assert worst_violation(lazy.points, points, 0.1, 0.2)[0] <= 1e-9


def test_palm_asks_at_every_weight_of_the_grid_it_is_given() -> None:
    oracle = CountingTable(sphere(60, 3, 2))
    found = palm(oracle, Target(k=3), Options(grid_eps=0.3, grid_delta=0.3))
    assert found.oracle_calls == oracle.calls == grid_size(3, 0.3, 0.3)
    thin = palm(oracle, Target(k=3), Options(grid_eps=0.3, grid_delta=0.3, thin_grid=True))
    assert thin.oracle_calls == thin_grid_size(3, 0.3, 0.3) < found.oracle_calls


def test_a_time_limit_thins_the_grid_all_over_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    points = sphere(60, 3, 2)
    whole = palm(points, Target(k=4))
    # In time, the order of the calls changes nothing.
    assert palm(points, Target(k=4), Options(time_limit=1e6)).members == whole.members
    monkeypatch.setattr(module, "BLOCK", 40)
    late = palm(points, Target(k=4), Options(time_limit=1e-6))
    assert late.stopped == "time limit"
    assert late.oracle_calls == 40 < whole.oracle_calls
    asked = palm_grid(3, 0.1, 0.1)[module._spread(whole.oracle_calls)[:40]]
    assert np.linalg.matrix_rank(asked) == 3
    assert asked.max(axis=0).min() > 0.6, "weights of every corner are among them"
