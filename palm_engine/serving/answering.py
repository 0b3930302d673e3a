"""Answers of several policies to one prompt, then scored and valued at a user's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from palm_engine._types import Floats
from palm_engine.bundle.folder import Bundle
from palm_engine.geometry.envelope import best_policy
from palm_engine.serving.backends.interface import Backend, LiveSettings
from palm_engine.serving.scoring import Scorer


@dataclass(frozen=True)
class LiveAnswer:
    """An answer, whole or as far as it has come.

    Attributes:
        policy: who gives it.
        text: what it says.
        tokens: its length.
        scores: by trait; empty where it could not be scored.
        finish: why it ended: "stop" by itself, "length" where it was cut, or what a server says; ""
            where it hasn't, or nobody knows.
        notice: what a server did otherwise than it was asked; a sentence, or "".
    """

    policy: str
    text: str
    tokens: int
    scores: Mapping[str, float] = field(default_factory=dict)
    finish: str = ""
    notice: str = ""


@dataclass(frozen=True)
class Verdict:
    """Which of several answers is best at some weights, beside what the rewards predict.

    Attributes:
        values: `w·scores` of each answer that was scored, by policy.
        best: whose answer has the largest value.
        predicted: of those who answered, who has the largest recorded value.
        labels: names for people, by policy.
    """

    values: Mapping[str, float]
    best: str
    predicted: str
    labels: Mapping[str, str]

    @property
    def words(self) -> str:
        """One sentence."""
        sentence = (
            f"Best at your weights: {self.labels[self.best]} ({self.values[self.best]:.3f}); "
        )
        if self.best == self.predicted:
            return sentence + "as predicted from its rewards."
        return (
            f"{sentence}predicted from rewards over many prompts was {self.labels[self.predicted]} "
            f"({self.values[self.predicted]:.3f}). One answer is one draw."
        )


def verdict(bundle: Bundle, answers: Sequence[LiveAnswer], w: Floats) -> Verdict | None:
    """Compare answers to one prompt at a user's weights.

    Args:
        bundle: whose rewards predict.
        answers: to one prompt, one per policy.
        w: weights, shape (d,).

    Returns:
        None where no answer was scored.
    """
    values = {
        a.policy: value for a in answers if (value := value_at(a, bundle.traits, w)) is not None
    }
    if not values:
        return None
    names = list(values)
    rows = [bundle.row(name) for name in names]
    first = int(best_policy(bundle.points[rows], w[None])[0])
    labels = {name: bundle.label(name) for name in names}
    return Verdict(values, max(names, key=values.__getitem__), names[first], labels)


def value_at(answer: LiveAnswer, traits: Sequence[str], w: Floats) -> float | None:
    """`w·scores` of an answer; None where it has no scores.

    Args:
        answer: to value.
        traits: names of the d traits.
        w: weights, shape (d,).
    """
    if not answer.scores:
        return None
    return float(sum(answer.scores[t] * x for t, x in zip(traits, w, strict=True)))


def answer_all(
    bundle: Bundle,
    backend: Backend,
    prompt: str,
    policies: Sequence[str],
    settings: LiveSettings,
    update: Callable[[int, str], None] = lambda row, piece: None,
) -> list[LiveAnswer]:
    """Ask policies, wait for all, score what they said.

    Args:
        bundle: whose rewards score.
        backend: that answers.
        prompt: the question.
        policies: to ask; answers are in this order.
        settings: how to draw.
        update: gets (row, piece of text) as it comes.

    Raises:
        InvalidInputError: a policy that can't answer, or an empty prompt.
        GenerationError: answering failed.
    """
    texts = [""] * len(policies)
    tokens = [0] * len(policies)
    ends = [("", "")] * len(policies)
    for piece in backend.stream([prompt], policies, settings):
        texts[piece.row] += piece.text
        tokens[piece.row] += piece.tokens
        if piece.done:
            ends[piece.row] = piece.finish, piece.notice
        update(piece.row, piece.text)
    score = Scorer(bundle)
    return [
        LiveAnswer(policy, text, count, score(prompt, text, count), *end)
        for policy, text, count, end in zip(policies, texts, tokens, ends, strict=True)
    ]
