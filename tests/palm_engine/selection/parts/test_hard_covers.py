"""Weights all over the region, the linear program over them, and the local search for covers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.geometry.gap import worst_additive_gap, worst_gap, worst_violation
from palm_engine.geometry.region import Region
from palm_engine.selection import minimum as module
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.parts import dense
from palm_engine.selection.parts.cover import minimal_rows, smallest_cover
from palm_engine.selection.parts.cuts import Cuts
from palm_engine.selection.parts.local_search import CoverSearch
from palm_engine.selection.result import Selection, Target
from tests.support.bundles import sphere

Matrix = st.tuples(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 9))


def matrix(seed: int, rows: int, columns: int) -> np.ndarray:
    covers = np.random.default_rng(seed).random((rows, columns)) < 0.35
    covers[np.arange(rows), np.arange(rows) % columns] = True
    return covers


def least(covers: np.ndarray) -> int:
    columns = range(covers.shape[1])
    return next(
        k
        for k in range(1, covers.shape[1] + 1)
        if any(covers[:, c].any(axis=1).all() for c in combinations(columns, k))
    )


@settings(max_examples=60, deadline=None)
@given(Matrix)
def test_rows_that_are_kept_imply_the_others_and_none_of_each_other(shape: tuple[int, ...]) -> None:
    covers = matrix(*shape)
    kept = minimal_rows(covers)
    sets = [frozenset(np.flatnonzero(row)) for row in covers]
    assert all(any(sets[k] <= s for k in kept) for s in sets)
    assert not any(sets[a] <= sets[b] for a in kept for b in kept if a != b)
    assert least(covers[kept]) == least(covers) == len(smallest_cover(covers).columns or ())


@settings(max_examples=60, deadline=None)
@given(Matrix)
def test_the_search_finds_the_smallest_cover_of_small_ones(shape: tuple[int, ...]) -> None:
    covers = matrix(*shape)
    best = least(covers)
    search = CoverSearch(covers, seed=1)
    assert search.covered
    while len(search.chosen) > best:
        search.drop()
        assert search.run(2_000, lambda: False)
    assert covers[:, search.chosen].any(axis=1).all()
    assert len(set(search.chosen)) == len(search.chosen) == best or search.covered


def test_the_search_keeps_fixed_columns_and_goes_on_after_rows_came() -> None:
    covers = matrix(3, 12, 9)
    search = CoverSearch(covers, fixed=(4,))
    more = np.zeros((1, 9), dtype=bool)
    more[0, 7] = True
    search.add(more)
    assert search.rows == 13
    assert search.run(2_000, lambda: False)
    assert {4, 7} <= set(search.chosen)
    assert not CoverSearch(np.eye(3, dtype=bool), start=[0, 1]).run(50, lambda: True)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3]), st.booleans())
def test_the_program_is_below_every_cover(seed: int, d: int, required: bool) -> None:
    q = np.random.default_rng(seed).random((7, d))
    options = Options(include=(3,) if required else ())
    spread = dense.Dense(Cuts(q, options), 30.0)
    assert len(spread.weights) >= 500
    covers = spread.deficit <= 0.05 + 1e-10
    size = spread.relaxed(covers, 10.0).size
    found = minimum(q, Target(delta=0.05), options)
    assert size <= len(found.members) + 1e-6
    assert size >= (1 if required else 0.99)


def hard(
    q: np.ndarray, target: Target, monkeypatch: pytest.MonkeyPatch, options: Options
) -> Selection:
    with monkeypatch.context() as patch:
        patch.setattr(module, "EASY_SECONDS", -1.0)
        patch.setattr(module, "EASY_LEVELS_SECONDS", -1.0)
        return minimum(q, target, options)


OPTIONS = {
    "all": Options(),
    "required": Options(include=(2,)),
    "ruled out": Options(exclude=(0, 1)),
    "region": Options(region=Region(np.array([0.1, 0.0, 0.0]), np.array([0.7, 0.6, 0.9]))),
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("multiplicative", [False, True])
def test_the_best_k_of_hard_ones_are_the_best(
    seed: int, name: str, multiplicative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    q = np.random.default_rng(seed).random((9, 3)) + 0.1
    options = OPTIONS[name]
    found = hard(q, Target(k=3, multiplicative=multiplicative), monkeypatch, options)
    rows = [int(i) for i in options.eligible(9)]
    tried = [c for c in combinations(rows, 3) if set(options.include) <= set(c)]

    def gap_of(chosen: tuple[int, ...]) -> float:
        gap = worst_gap(q[list(chosen)], q, options.region)
        return (gap.multiplicative or 0.0) if multiplicative else gap.additive

    best = min(map(gap_of, tried))
    assert found.proved
    assert gap_of(found.members) == pytest.approx(best, abs=1e-8)
    assert found.gap_lower_bound == pytest.approx(best, abs=1e-8)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_the_fewest_of_hard_ones_are_the_fewest(
    seed: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    q = sphere(10, 3, seed)
    options = OPTIONS[name]
    eps, delta = 0.04, 0.03
    rows = [int(i) for i in options.eligible(10)]
    everybody = q[rows]
    if worst_violation(everybody, q, eps, delta, options.region)[0] > 0:
        delta = worst_additive_gap(everybody, q, options.region) + 0.01
    found = hard(q, Target(eps=eps, delta=delta), monkeypatch, options)
    assert found.proved
    assert worst_violation(q[list(found.members)], q, eps, delta, options.region)[0] <= 1e-8
    assert set(options.include) <= set(found.members)
    smaller = combinations(rows, len(found.members) - 1)
    assert not any(
        worst_violation(q[list(c)], q, eps, delta, options.region)[0] <= 1e-11
        for c in smaller
        if c and set(options.include) <= set(c)
    )


def test_what_time_runs_out_on_meets_the_target_with_a_proved_bound() -> None:
    q = sphere(200, 5, 1)
    found = minimum(q, Target(eps=0.05, delta=0.01), Options(time_limit=4))
    assert worst_violation(q[list(found.members)], q, 0.05, 0.01)[0] <= 1e-8
    assert found.size_lower_bound is not None
    # On a quiet machine 39, at least 37; how far it comes depends on the machine.
    assert 20 <= found.size_lower_bound <= 39
    assert len(found.members) <= 55


@pytest.mark.parametrize("seconds", [1e-9, 1e-3, 0.05])
def test_however_little_time_there_is_what_is_told_of_is_a_portfolio(seconds: float) -> None:
    q = sphere(80, 3, 2)
    cuts = Cuts(q, Options())
    worst = [worst_additive_gap(q[[i]], q) for i in range(80)]
    told: list[tuple[list[int], float]] = []
    lower = dense.narrowed(
        cuts, 1, False, (0.0, 1.0), lambda c, least, gap: told.append((c, gap)), seconds
    )
    assert lower <= min(worst) + 1e-9
    for columns, gap in told:
        assert len(columns) == 1
        assert gap == pytest.approx(worst[columns[0]], abs=1e-9)
    members, bound = dense.fewest(cuts, 0.05, 0.01, 1, lambda c, least: None, seconds, False)
    assert bound >= 1
    if members is not None:
        assert worst_violation(q[members], q, 0.05, 0.01)[0] <= 1e-8
