"""Brevity: how short an answer is, in tokens of the base model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from palm_engine._types import Floats

MOST_TOKENS = 64
FEWEST_WORDS = 3


class Brevity:
    """`1 - min(tokens, 64)/64`; fewer than three words score 0, so that silence doesn't win."""

    name = "brevity"
    normalisation = "1 - min(tokens, 64)/64, and 0 below three words"

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> Floats:
        """Scores in [0, 1], shape (n,); a function of length only."""
        short = 1.0 - np.minimum(np.asarray(tokens, dtype=float), MOST_TOKENS) / MOST_TOKENS
        words = np.array([len(answer.split()) for answer in answers])
        return np.where(words < FEWEST_WORDS, 0.0, short)
