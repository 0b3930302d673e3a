"""Weights, grids and designs on the simplex."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import (
    as_weights,
    grid,
    named_weights,
    normalise,
    random_design,
    uniform_design,
    weights_of,
)


@given(st.integers(2, 6), st.integers(1, 8))
def test_grid_holds_every_multiple_once(d: int, resolution: int) -> None:
    points = grid(d, resolution)
    assert (
        len(points) == comb(resolution + d - 1, d - 1) == len({tuple(p) for p in points.round(9)})
    )
    assert np.allclose(points.sum(axis=1), 1)
    assert points.min() >= 0


@given(st.lists(st.integers(0, 100), min_size=2, max_size=8))
def test_slider_values_become_weights(raw: list[int]) -> None:
    w = normalise(raw)
    assert w.sum() == pytest.approx(1)
    if sum(raw) == 0:
        assert np.allclose(w, 1 / len(raw))


def test_designs_are_deterministic_distinct_and_hold_the_corners() -> None:
    design = uniform_design(3, 5)
    assert len(np.unique(design, axis=0)) == 5
    assert np.allclose(design[:3], np.eye(3))
    assert np.array_equal(random_design(3, 5, seed=4), random_design(3, 5, seed=4))
    assert not np.array_equal(random_design(3, 5, seed=4), random_design(3, 5, seed=5))


def test_bad_weights_are_refused_by_row_and_by_name() -> None:
    with pytest.raises(InvalidInputError, match="row 1"):
        as_weights([[0.5, 0.5], [0.9, 0.9]])
    with pytest.raises(InvalidInputError, match="humour"):
        weights_of({"safety": 0.5, "humour": 0.5}, ["safety", "humor"])


@given(st.integers(2, 8), st.integers(0, 10_000))
def test_weights_from_files_are_weights(d: int, seed: int) -> None:
    """Six places each, as bundles hold them, may sum to a little more or less than 1."""
    w = np.random.default_rng(seed).dirichlet(np.ones(d))
    rounded = list(named_weights(w, [str(i) for i in range(d)], 6).values())
    assert as_weights(rounded).sum() == pytest.approx(1, abs=1e-12)
    with pytest.raises(InvalidInputError, match="sum to 1"):
        as_weights(np.asarray(rounded) * 1.001)
