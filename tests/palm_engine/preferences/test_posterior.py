"""The posterior against one on a dense grid, and the answer model against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import grid
from palm_engine.preferences.posterior import OUTCOMES, AnswerModel, Outcome, posterior


@given(st.floats(-2, 2), st.floats(0.01, 1), st.floats(0, 3))
@settings(max_examples=100, deadline=None)
def test_answers_have_the_odds_that_the_model_says(
    difference: float, tau: float, ties: float
) -> None:
    p = np.exp(AnswerModel(tau, ties).log_probabilities(np.array([difference])))[0]
    assert p.sum() == pytest.approx(1)
    first, second, equal = p
    if second > 1e-12 and first > 1e-12:
        assert np.log(first / second) == pytest.approx(difference / tau, abs=1e-6)
    assert equal == pytest.approx(ties * np.sqrt(first * second), abs=1e-9)


def by_grid(
    differences: np.ndarray, outcomes: list[Outcome], d: int, model: AnswerModel
) -> tuple[np.ndarray, np.ndarray]:
    """The slow reference: mean and standard deviations over a dense grid."""
    w = grid(d, 150)
    # Points on the border stand for less of the simplex; midpoints have no border.
    w = (w + 1 / (3 * 150)) / (1 + d / (3 * 150))
    mass = np.ones(len(w))
    for difference, outcome in zip(differences, outcomes, strict=True):
        x = w @ difference
        odds = {
            "first": np.exp(x / (2 * model.tau)),
            "second": np.exp(-x / (2 * model.tau)),
            "equal": np.full(len(w), model.ties),
        }
        mass *= odds[outcome] / sum(odds.values())
    mass /= mass.sum()
    mean = mass @ w
    return mean, np.sqrt(mass @ (w - mean) ** 2)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [0, 1, 4, 12])
def test_particles_agree_with_a_dense_grid(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    d = 3
    model = AnswerModel(0.1, ties=1.0)
    differences = rng.uniform(-0.8, 0.8, (count, d))
    outcomes = [OUTCOMES[int(i)] for i in rng.integers(0, 3, count)]
    mean, spread = by_grid(differences, outcomes, d, model)
    state = posterior(differences, outcomes, d, model, count=6000, seed=seed)
    assert state.particles.min() >= 0
    np.testing.assert_allclose(state.particles.sum(axis=1), 1, atol=1e-9)
    assert state.mass.sum() == pytest.approx(1)
    # Within a fifth of the posterior's own width, which is far more than 6,000 draws leave.
    assert np.all(np.abs(state.mean - mean) < 0.2 * spread + 0.004)
    ours = np.sqrt(state.mass @ (state.particles - state.mean) ** 2)
    np.testing.assert_allclose(ours, spread, rtol=0.25, atol=0.004)


def test_answers_of_one_user_lead_to_that_user() -> None:
    rng = np.random.default_rng(1)
    user = np.array([0.6, 0.1, 0.2, 0.1])
    differences = rng.uniform(-1, 1, (80, 4))
    outcomes: list[Outcome] = ["first" if x > 0 else "second" for x in differences @ user]
    state = posterior(differences, outcomes, 4, AnswerModel(0.03, ties=0.0))
    assert np.abs(state.mean - user).max() < 0.05
    assert state.effective > 500


def test_one_seed_gives_one_posterior() -> None:
    differences = np.array([[0.5, -0.2, 0.1]] * 8)
    one, two = (posterior(differences, ["first"] * 8, 3, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.particles, two.particles)


def test_users_stay_where_weights_count() -> None:
    region = Region(np.array([0.5, 0.0, 0.0]), np.ones(3))
    rng = np.random.default_rng(0)
    differences = rng.uniform(-1, 1, (12, 3))
    outcomes: list[Outcome] = [
        "first" if x > 0 else "second" for x in differences @ [0.6, 0.3, 0.1]
    ]
    for count in (0, 12):
        state = posterior(
            differences[:count], outcomes[:count], 3, AnswerModel(0.05), region=region
        )
        assert region.contains(state.particles, 1e-9).all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="2 pairs, but 1"):
        posterior(np.zeros((2, 3)), ["first"], 3)
    with pytest.raises(InvalidInputError, match="equal"):
        posterior(np.zeros((1, 3)), ["equal"], 3, AnswerModel(0.1, ties=0.0))
    with pytest.raises(InvalidInputError, match="tau"):
        AnswerModel(0.0)
