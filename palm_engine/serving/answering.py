"""Answers of several policies to one prompt, then scored and valued at a user's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from palm_engine.bundle.folder import Bundle
from palm_engine.serving.backends.interface import Backend, LiveSettings
from palm_engine.serving.scoring import Scorer, answer_value


@dataclass(frozen=True)
class LiveAnswer:
    """A whole answer.

    Attributes:
        policy: who gave it.
        text: what it says.
        tokens: its length.
        scores: by trait; empty where it could not be scored.
        value: `w·scores` at the user's weights, or None.
    """

    policy: str
    text: str
    tokens: int
    scores: Mapping[str, float] = field(default_factory=dict)
    value: float | None = None


def answer_all(
    bundle: Bundle,
    backend: Backend,
    prompt: str,
    policies: Sequence[str],
    settings: LiveSettings,
    w: np.ndarray,
    update: Callable[[int, str], None] = lambda row, piece: None,
) -> list[LiveAnswer]:
    """Ask `policies` and wait for all; `update(row, piece)` gets text as it comes.

    In the order of `policies`.
    """
    texts = [""] * len(policies)
    tokens = [0] * len(policies)
    for piece in backend.stream([prompt], policies, settings):
        texts[piece.row] += piece.text
        tokens[piece.row] += piece.tokens
        update(piece.row, piece.text)
    score = Scorer(bundle)
    scored = [score(prompt, text, count) for text, count in zip(texts, tokens, strict=True)]
    return [
        LiveAnswer(m, t, n, s, answer_value(s, bundle.traits, w))
        for m, t, n, s in zip(policies, texts, tokens, scored, strict=True)
    ]
