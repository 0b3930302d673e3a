"""How short an answer is, in tokens of the base model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from palm_engine._types import Floats


class Length:
    """Scores by length alone; an answer without a word scores 0.

    Args:
        most: tokens from which an answer scores 0.
        scale: `log`: `1 - log(tokens)/log(most)`; `linear`: `1 - (tokens - 1)/(most - 1)`.
    """

    def __init__(self, most: int, scale: Literal["linear", "log"] = "log") -> None:
        self.name = "length"
        self.most = most
        self.scale = scale
        part = "log(tokens)/log" if scale == "log" else "(tokens - 1)/"
        self.normalisation = f"1 - {part}({most}{'' if scale == 'log' else ' - 1'}), at least 0"
        self.card = {"measures": "length alone", "tokens that score 0": most, "scale": scale}
        self.fingerprint = hashlib.sha256(self.normalisation.encode()).hexdigest()

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> Floats:
        """Scores in [0, 1], shape (n,); a function of length only."""
        count = np.clip(np.asarray(tokens, dtype=float), 1, self.most)
        if self.scale == "log":
            short = 1.0 - np.log(count) / np.log(self.most)
        else:
            short = 1.0 - (count - 1) / (self.most - 1)
        # Any letter or digit, of any script.
        worded = np.array([any(c.isalnum() for c in answer) for answer in answers], dtype=bool)
        return np.where(worded, short, 0.0)
