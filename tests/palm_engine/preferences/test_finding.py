"""The right member is found, answers can be taken back, topics aren't asked about twice."""

from __future__ import annotations

import numpy as np
import pytest

from palm_engine.errors import InvalidInputError
from palm_engine.preferences.finding import NEAR, SURE, Answered, find_member
from palm_engine.preferences.posterior import OUTCOMES, AnswerModel

MEMBERS = np.array([[0.9, 0.2, 0.2], [0.2, 0.9, 0.2], [0.2, 0.2, 0.9]])
PAIRS = np.random.default_rng(5).uniform(-0.8, 0.8, (200, 3))
MODEL = AnswerModel(0.05, ties=0.5)


def ask(w: np.ndarray, seed: int) -> tuple[int, list[Answered]]:
    """A simulated user answers until a member is settled."""
    rng = np.random.default_rng(seed)
    answers: list[Answered] = []
    while True:
        found = find_member(MEMBERS, PAIRS, answers, MODEL, count=1500, seed=seed)
        if found.settled or found.question is None or len(answers) == 30:
            return found.member, answers
        p = np.exp(MODEL.log_probabilities(PAIRS[found.question] @ w))
        answers.append(Answered(found.question, OUTCOMES[int(rng.choice(3, p=p))]))


def test_simulated_users_find_a_member_within_two_percent_of_the_best() -> None:
    users = np.random.default_rng(0).dirichlet(np.ones(3), 30)
    right = 0
    counts = []
    for seed, w in enumerate(users):
        member, answers = ask(w, seed)
        values = MEMBERS @ w
        right += bool(values[member] >= (1 - NEAR) * values.max())
        counts.append(len(answers))
    assert right >= 0.85 * len(users)
    assert np.median(counts) <= 5


def test_an_answer_is_taken_back_by_leaving_it_out() -> None:
    answers = [Answered(3, "first"), Answered(9, None), Answered(12, "equal")]
    before = find_member(MEMBERS, PAIRS, answers[:2], MODEL)
    find_member(MEMBERS, PAIRS, answers, MODEL)
    again = find_member(MEMBERS, PAIRS, answers[:2], MODEL)
    np.testing.assert_array_equal(before.probabilities, again.probabilities)
    assert before.question == again.question


def test_a_skipped_question_says_nothing_and_is_not_asked_again() -> None:
    first = find_member(MEMBERS, PAIRS, [], MODEL)
    assert first.question is not None
    skipped = find_member(MEMBERS, PAIRS, [Answered(first.question, None)], MODEL)
    np.testing.assert_array_equal(first.probabilities, skipped.probabilities)
    assert skipped.question != first.question


def test_a_topic_is_asked_about_once_while_others_are_left() -> None:
    topics = ["a", "a", "b"]
    pairs = PAIRS[:3]
    after_a = find_member(MEMBERS, pairs, [Answered(0, None)], MODEL, topics)
    assert after_a.question == 2
    after_both = find_member(MEMBERS, pairs, [Answered(0, None), Answered(2, None)], MODEL, topics)
    assert after_both.question == 1


def test_members_of_one_point_are_settled_without_a_question() -> None:
    found = find_member(np.array([[0.5, 0.5], [0.5, 0.5]]), PAIRS[:, :2], [])
    assert found.settled
    assert found.probability >= SURE
    assert found.member == 0


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no member"):
        find_member(np.empty((0, 3)), PAIRS, [])
    with pytest.raises(InvalidInputError, match="question 999"):
        find_member(MEMBERS, PAIRS, [Answered(999, "first")])
