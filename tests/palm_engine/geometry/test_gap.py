"""Exact worst gaps against one linear program a candidate, the obvious slow reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from palm_engine.errors import UndefinedGapError
from palm_engine.geometry.envelope import envelope_vertices, upper_envelope
from palm_engine.geometry.gap import minimum_of_envelope, worst_gap, worst_violation
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import sample_uniform
from tests.support.references import lp_worst_gap

# Rounded values make ties, duplicates and near-degenerate facets likely.
tables = st.integers(2, 5).flatmap(
    lambda d: st.tuples(
        arrays(
            float,
            st.tuples(st.integers(1, 7), st.just(d)),
            elements=st.floats(0, 1).map(lambda x: round(x, 2)),
        ),
        st.integers(0, 10_000),
    )
)


@given(tables)
@settings(max_examples=150, deadline=None)
def test_additive_gap_equals_the_linear_programs(case: tuple[np.ndarray, int]) -> None:
    candidates, seed = case
    k = np.random.default_rng(seed).integers(1, len(candidates) + 1)
    portfolio = candidates[np.random.default_rng(seed).permutation(len(candidates))[:k]]
    found = worst_gap(portfolio, candidates)
    assert found.additive == pytest.approx(lp_worst_gap(portfolio, candidates), abs=1e-7)
    w = found.at_weights_additive
    reached = upper_envelope(candidates, w[None])[0] - upper_envelope(portfolio, w[None])[0]
    assert reached == pytest.approx(found.additive, abs=1e-12)


@given(tables, st.sampled_from([0.05, 0.2]))
@settings(max_examples=60, deadline=None)
def test_violation_of_a_target_equals_the_linear_programs(
    case: tuple[np.ndarray, int], eps: float
) -> None:
    candidates, seed = case
    portfolio = candidates[[seed % len(candidates)]]
    found, _ = worst_violation(portfolio, candidates, eps, 0.01)
    assert found == pytest.approx(lp_worst_gap(portfolio, candidates, eps) - 0.01, abs=1e-7)


@given(tables)
@settings(max_examples=60, deadline=None)
def test_no_sampled_weights_exceed_the_worst_gaps(case: tuple[np.ndarray, int]) -> None:
    candidates, seed = case
    portfolio = candidates[: 1 + seed % len(candidates)]
    found = worst_gap(portfolio, candidates)
    w = sample_uniform(candidates.shape[1], 300, np.random.default_rng(seed))
    best = upper_envelope(candidates, w)
    ours = upper_envelope(portfolio, w)
    assert (best - ours).max() <= found.additive + 1e-9
    if found.multiplicative is not None:
        assert (1 - ours / best).max() <= found.multiplicative + 1e-9


def test_multiplicative_gap_is_refused_with_the_reason_where_the_best_value_is_zero() -> None:
    found = worst_gap([[0.5, 0.0]], [[0.5, 0.0], [0.6, 0.0]])
    assert found.multiplicative is None
    assert "0" in (found.undefined or "")
    assert found.additive == pytest.approx(0.1)


def test_negative_portfolio_value_reads_above_one_hundred_percent() -> None:
    found = worst_gap([[-0.2, -0.2]], [[0.5, 0.5], [-0.2, -0.2]])
    assert found.multiplicative is not None
    assert found.multiplicative > 1


def test_target_needs_a_best_value_that_is_nowhere_negative() -> None:
    with pytest.raises(UndefinedGapError, match="nowhere negative"):
        worst_violation([[-0.1, 0.3]], [[-0.1, 0.3]], 0.05, 0.0)


def test_minimum_of_the_envelope_is_not_at_a_corner_only() -> None:
    lowest, at = minimum_of_envelope([[1.0, 0.0], [0.0, 1.0]])
    assert lowest == pytest.approx(0.5)
    assert at == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    "points", [np.full((4, 3), 0.3), np.zeros((3, 4)), np.eye(3), np.ones((1, 2))]
)
def test_ties_zeros_and_single_policies_have_no_gap_to_themselves(points: np.ndarray) -> None:
    assert worst_gap(points, points).additive == pytest.approx(0, abs=1e-12)
    assert np.allclose(envelope_vertices(points).sum(axis=1), 1)


def lp_worst_ratio(
    portfolio: np.ndarray, candidates: np.ndarray, region: Region | None = None
) -> float:
    """max over q, w of 1 - V_P(w) / w·q, by Charnes and Cooper's y = w / w·q.

    One linear program a candidate.
    """
    d = portfolio.shape[1]
    best = -np.inf
    bounds_below = np.zeros(d) if region is None else region.lower
    bounds_above = np.ones(d) if region is None else region.upper
    # lower * sum(y) <= y <= upper * sum(y)
    inside = np.vstack(
        [
            np.outer(bounds_below, np.ones(d)) - np.eye(d),
            np.eye(d) - np.outer(bounds_above, np.ones(d)),
        ]
    )
    rows = np.vstack(
        [
            np.hstack([portfolio, -np.ones((len(portfolio), 1))]),
            np.hstack([inside, np.zeros((2 * d, 1))]),
        ]
    )
    for q in candidates:
        solved = linprog(
            np.r_[np.zeros(d), 1.0],
            A_ub=rows,
            b_ub=np.zeros(len(rows)),
            A_eq=np.r_[q, 0.0][None],
            b_eq=[1.0],
            bounds=[(0, None)] * d + [(None, None)],
        )
        if solved.status == 0:  # a candidate that is 0 everywhere has no ratio
            assert solved.fun is not None
            best = max(best, 1 - float(solved.fun))
    return best


@given(tables, st.booleans())
@settings(max_examples=80, deadline=None)
def test_multiplicative_gap_equals_the_linear_programs_on_the_simplex_and_on_regions(
    case: tuple[np.ndarray, int], restricted: bool
) -> None:
    candidates, seed = case
    candidates = candidates + 0.05
    rng = np.random.default_rng(seed)
    portfolio = candidates[rng.permutation(len(candidates))[: rng.integers(1, len(candidates) + 1)]]
    d = candidates.shape[1]
    region = Region(np.full(d, 0.4 / d), np.full(d, 1 - 0.3 / d)) if restricted else None
    found = worst_gap(portfolio, candidates, region)
    assert found.multiplicative == pytest.approx(
        lp_worst_ratio(portfolio, candidates, region), abs=1e-7
    )


@pytest.mark.parametrize("lowest", [0.0, 1e-13, 1e-6])
def test_a_best_value_near_0_gives_a_reason_or_a_ratio_that_is_right(lowest: float) -> None:
    candidates = np.array([[0.6, lowest], [0.2, lowest]])
    found = worst_gap(candidates[1:], candidates)
    if lowest < 1e-12:
        assert found.multiplicative is None
        assert "means nothing" in (found.undefined or "")
    else:
        assert found.multiplicative == pytest.approx(2 / 3, abs=1e-6)
