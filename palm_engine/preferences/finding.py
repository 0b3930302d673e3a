"""The right member for a user who can't name weights: ask, learn, stop.

Everything follows from the answers so far, so an answer is taken back by leaving it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.region import Region
from palm_engine.preferences.posterior import AnswerModel, Outcome, Posterior, posterior
from palm_engine.preferences.questions import most_telling

# A member within this share of the best one's value is as good as right.
NEAR = 0.02
# Posterior probability at which a member is settled. Of simulated users of the demo who often
# answer against their weights (tau .15), .9 asks 7 questions (98 % right), .85 asks 4 (97 %; 92 %
# of another hundred).
SURE = 0.85


@dataclass(frozen=True)
class Answered:
    """A question that was answered, or skipped.

    Attributes:
        question: its row.
        outcome: None: skipped.
    """

    question: int
    outcome: Outcome | None


@dataclass(frozen=True)
class Finding:
    """What is known after some answers.

    Attributes:
        posterior: of the user's weights.
        member: the likeliest to be right, a row of the members.
        probability: that it is within NEAR of the best member.
        probabilities: the same of every member, shape (k,).
        settled: whether it is at least SURE.
        question: row of the question to ask next; None when there is none left.
    """

    posterior: Posterior
    member: int
    probability: float
    probabilities: Floats
    settled: bool
    question: int | None


def find_member(
    members: Floats,
    differences: Floats,
    answers: Sequence[Answered],
    model: AnswerModel = AnswerModel(),  # noqa: B008
    topics: Sequence[str] | None = None,
    count: int = 4000,
    seed: int = 0,
    region: Region | None = None,
) -> Finding:
    """What some answers say about the right member, and what to ask next.

    Args:
        members: their points, shape (k, d).
        differences: rewards of the first answer minus those of the second, for every question that
            could be asked, shape (m, d).
        answers: so far, in order.
        model: how users answer.
        topics: what each question is about, as its prompt: one is asked about once while others are
            left. None: every question is its own.
        count: particles.
        seed: of everything that is drawn.
        region: the weights that users can have; None: all.

    Raises:
        InvalidInputError: shapes don't fit, or an answer to a question that isn't there.
    """
    points = np.asarray(members, dtype=float)
    pairs = np.asarray(differences, dtype=float).reshape(-1, points.shape[1])
    if not len(points):
        raise InvalidInputError("there is no member to find")
    wrong = [a.question for a in answers if not 0 <= a.question < len(pairs)]
    if wrong:
        raise InvalidInputError(f"question {wrong[0]} of {len(pairs)} doesn't exist")
    given = [(a.question, a.outcome) for a in answers if a.outcome is not None]
    state = posterior(
        pairs[[q for q, _ in given]],
        [o for _, o in given],
        points.shape[1],
        model,
        count,
        seed,
        region,
    )
    values = state.particles @ points.T
    probabilities = near_probabilities(state, values)
    # Of members that are near with the same probability, the one of most value.
    order = np.lexsort((-(state.mass @ values), -np.round(probabilities, 9)))
    member = int(order[0])
    asked = _not_again([a.question for a in answers], topics, len(pairs))
    return Finding(
        posterior=state,
        member=member,
        probability=float(probabilities[member]),
        probabilities=probabilities,
        settled=bool(probabilities[member] >= SURE),
        question=most_telling(state, pairs, values.argmax(axis=1), model, asked, seed),
    )


def near_probabilities(state: Posterior, values: Floats) -> Floats:
    """The probability of each member that it is within NEAR of the best one.

    Args:
        state: the posterior, of n particles.
        values: of the k members at each particle, shape (n, k).

    Returns:
        Shape (k,).
    """
    best = values.max(axis=1, keepdims=True)
    return np.asarray(state.mass @ (values >= best - NEAR * np.abs(best)))


def _not_again(asked: Sequence[int], topics: Sequence[str] | None, count: int) -> set[int]:
    """Questions not to ask: those that were, and those of their topics while others are left."""
    if topics is None:
        return set(asked)
    spent = {topics[q] for q in asked}
    closed = {q for q in range(count) if topics[q] in spent}
    return closed if len(closed) < count else set(asked)
