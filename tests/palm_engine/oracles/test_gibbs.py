"""The closed form against numerical optimisation and the KL identity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import grid
from palm_engine.oracles.gibbs import GibbsOracle


def pool(seed: int, prompts: int = 3, samples: int = 5, d: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).random((prompts, samples, d))


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * np.log(p / q)).sum(axis=1).mean())


@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.3, 2.0]))
@settings(max_examples=50, deadline=None)
def test_no_policy_over_the_pool_beats_the_closed_form(seed: int, beta: float) -> None:
    rewards = pool(seed)
    rng = np.random.default_rng(seed)
    oracle = GibbsOracle(rewards, beta)
    w = rng.dirichlet(np.ones(3))
    optimum = oracle.solve(w).optimum[0]
    uniform = np.full(rewards.shape[:2], 1 / rewards.shape[1])
    for _ in range(20):
        rival = rng.dirichlet(np.ones(rewards.shape[1]), size=len(rewards))
        value = float((rival * (rewards @ w)).sum(axis=1).mean()) - beta * kl(rival, uniform)
        assert value <= optimum + 1e-9


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_gap_of_a_member_trained_elsewhere_is_beta_times_kl(seed: int) -> None:
    rewards = pool(seed)
    rng = np.random.default_rng(seed)
    beta = 0.2
    oracle = GibbsOracle(rewards, beta)
    a, w = rng.dirichlet(np.ones(3), size=2)
    solved = oracle.solve(np.vstack([a, w]))
    seen_from_w = float(solved.rewards[0] @ w) - solved.kl_cost[0]
    assert solved.optimum[1] - seen_from_w == pytest.approx(
        beta * kl(oracle.policy(a), oracle.policy(w)), abs=1e-9
    )


def test_many_weights_at_once_equal_one_at_a_time() -> None:
    oracle = GibbsOracle(pool(1, 64, 24), 0.1)
    weights = grid(3, 12)
    together = oracle.solve(weights)
    alone = [oracle.solve(w) for w in weights]
    assert np.allclose(together.rewards, np.vstack([s.rewards for s in alone]))
    assert np.allclose(together.kl_cost, np.concatenate([s.kl_cost for s in alone]))


def test_padding_with_probability_zero_changes_nothing() -> None:
    rewards = pool(2)
    padded = np.concatenate([rewards, np.ones((3, 1, 3))], axis=1)
    reference = np.hstack([np.full((3, 5), 0.2), np.zeros((3, 1))])
    w = np.array([0.2, 0.3, 0.5])
    assert np.allclose(
        GibbsOracle(rewards, 0.1).solve(w).rewards,
        GibbsOracle(padded, 0.1, reference).solve(w).rewards,
    )


@pytest.mark.parametrize(
    ("rewards", "beta", "match"),
    [
        (np.full((2, 2, 2), 1.5), 0.1, r"\[0, 1\]"),
        (np.zeros((2, 2)), 0.1, "shape"),
        (np.zeros((2, 2, 2)), 0.0, "beta"),
    ],
)
def test_bad_pools_are_refused(rewards: np.ndarray, beta: float, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        GibbsOracle(rewards, beta)
