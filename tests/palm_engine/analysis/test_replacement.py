"""Whether other members would serve known users better: against a slow reference."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from palm_engine.analysis.replacement import replacement
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.users import Users, uniform_users
from palm_engine.tables.reward_table import RewardTable


def table(rng: np.random.Generator, n: int = 7, d: int = 3, prompts: int = 0) -> RewardTable:
    means = rng.random((n, d))
    scores = None
    if prompts:
        scores = np.clip(means + rng.normal(0, 0.1, (prompts, n, d)), 0, 1)
        means = scores.mean(axis=0)
    names = [f"p{i}" for i in range(n)]
    return RewardTable(names, [f"t{i}" for i in range(d)], means, None, scores)


def mean_gap(points: np.ndarray, rows: tuple[int, ...], users: Users) -> float:
    lost = 0.0
    for w, share in zip(users.weights, users.shares, strict=True):
        lost += share * (max(points @ w) - max(points[list(rows)] @ w))
    return lost


@pytest.mark.parametrize("seed", range(10))
def test_others_and_the_one_model_are_the_best_there_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    given = table(rng)
    users = Users(rng.dirichlet([0.6] * 3, 40), rng.integers(1, 9, 40).astype(float))
    found = replacement(given, ["p0", "p1", "p2"], users)
    points = given.points
    best = min(mean_gap(points, rows, users) for rows in combinations(range(7), 3))
    others = tuple(given.row(p) for p in found.others)
    assert mean_gap(points, others, users) == pytest.approx(best)
    assert found.proved
    assert found.now.everybody.expected == pytest.approx(mean_gap(points, (0, 1, 2), users))
    alone = [mean_gap(points, (row,), users) for row in range(7)]
    assert found.single_expected == pytest.approx(min(alone))
    assert given.row(found.single) == int(np.argmin(alone))
    saved = mean_gap(points, (0, 1, 2), users) - best
    assert found.estimate == pytest.approx(saved)
    assert found.is_better == (saved > 1e-4)
    assert found.saved is None


def test_what_changing_saves_is_measured_on_prompts_it_was_not_chosen_on() -> None:
    rng = np.random.default_rng(3)
    given = table(rng, prompts=60)
    assert given.scores is not None
    users = uniform_users(rng.dirichlet([1.0] * 3, 50))
    found = replacement(given, ["p0", "p1"], users, seed=5)
    from palm_engine.analysis.recommendation import halves

    choose, measure = halves(60, None, np.random.default_rng(5))
    chosen_on = given.scores[choose].mean(axis=0)
    gained = 0.0
    for w in users.weights:
        new = max((given.row(p) for p in found.others), key=lambda r: chosen_on[r] @ w)
        old = max((0, 1), key=lambda r: chosen_on[r] @ w)
        gained += float((given.scores[measure][:, new] - given.scores[measure][:, old]).mean(0) @ w)
    assert found.saved is not None
    assert found.saved.estimate == pytest.approx(gained / 50)
    assert found.saved.lower <= found.saved.estimate <= found.saved.upper
    assert found.saved.prompts == len(measure)


def test_a_clear_improvement_is_said_to_pay_and_labels_are_used() -> None:
    rng = np.random.default_rng(0)
    means = np.array([[0.5, 0.1, 0.1], [0.1, 0.5, 0.1], [0.1, 0.1, 0.9], [0.4, 0.4, 0.1]])
    scores = np.clip(means + rng.normal(0, 0.05, (200, 4, 3)), 0, 1)
    names = ["a", "b", "c", "d"]
    given = RewardTable(names, ["x", "y", "z"], scores.mean(axis=0), None, scores)
    users = uniform_users(rng.dirichlet([1, 1, 6], 200))
    found = replacement(given, ["a", "b"], users)
    assert found.is_better
    assert "c" in found.others
    said = " ".join(found.in_words({"c": "Terse"}))
    assert "Terse" in said
    assert said.startswith("Changing to ")
    kept = replacement(given, found.others, users)
    assert not kept.is_better
    assert kept.in_words({})[0] == "Keep these members: no other 2 serve these users better."


def test_chance_alone_rarely_says_that_changing_pays() -> None:
    rng = np.random.default_rng(8)
    wrong = 0
    for _ in range(60):
        scores = np.clip(0.5 + rng.normal(0, 0.2, (40, 6, 2)), 0, 1)
        names = [f"p{i}" for i in range(6)]
        given = RewardTable(names, ["x", "y"], scores.mean(axis=0), None, scores)
        users = uniform_users(rng.dirichlet([1, 1], 50))
        wrong += replacement(given, ["p0", "p1"], users).is_better
    assert wrong <= 6  # 5 % of 60 are 3


def test_members_that_are_not_in_the_table_are_named() -> None:
    given = table(np.random.default_rng(0))
    with pytest.raises(InvalidInputError, match="gone"):
        replacement(given, ["gone"], uniform_users(np.eye(3)))
