"""What a question tells, against the definition of mutual information written out."""

from __future__ import annotations

import numpy as np
import pytest

from palm_engine.preferences.posterior import AnswerModel, Posterior
from palm_engine.preferences.questions import MOST_PAIRS, information, most_telling


def state(seed: int, n: int = 40, d: int = 3) -> Posterior:
    rng = np.random.default_rng(seed)
    mass = rng.random(n)
    return Posterior(rng.dirichlet(np.ones(d), n), mass / mass.sum())


@pytest.mark.parametrize("seed", range(5))
def test_information_is_mutual_information(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = state(seed)
    pairs = rng.uniform(-1, 1, (6, 3))
    groups = rng.integers(0, 3, 40)
    model = AnswerModel(0.2, ties=0.7)
    told = information(known, pairs, groups, model)
    for row, pair in enumerate(pairs):
        p = np.exp(model.log_probabilities(known.particles @ pair))
        joint = np.zeros((3, 3))
        for i in range(40):
            joint[groups[i]] += known.mass[i] * p[i]
        product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        expected = (joint * np.log(joint / product)).sum()
        assert told[row] == pytest.approx(expected, abs=1e-9)


def test_nothing_is_told_where_one_member_is_right_for_all() -> None:
    told = information(state(0), np.ones((2, 3)), np.zeros(40, dtype=int), AnswerModel())
    np.testing.assert_allclose(told, 0, atol=1e-12)


def test_the_question_that_separates_the_members_is_asked() -> None:
    known = state(2, n=400)
    groups = (known.particles[:, 0] > 0.5).astype(int)
    # The first asks about what the members share, the second about what parts them.
    pairs = np.array([[0.0, 0.5, -0.5], [0.5, -0.5, -0.5]])
    assert most_telling(known, pairs, groups, AnswerModel()) == 1
    assert most_telling(known, pairs, groups, AnswerModel(), asked=[1]) == 0
    assert most_telling(known, pairs, groups, AnswerModel(), asked=[0, 1]) is None


def test_many_pairs_are_drawn_from_by_the_seed() -> None:
    rng = np.random.default_rng(0)
    pairs = rng.uniform(-1, 1, (MOST_PAIRS + 50, 3))
    known = state(1)
    groups = known.particles.argmax(axis=1)
    one, two = (most_telling(known, pairs, groups, AnswerModel(), seed=4) for _ in range(2))
    assert one == two
