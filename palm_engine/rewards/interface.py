"""The reward interface and the registry by name.

Each maps (prompt, answer) to a number in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from palm_engine._types import Floats


class Reward(Protocol):
    """One trait's measure."""

    @property
    def name(self) -> str:
        """The registered name."""
        ...

    @property
    def normalisation(self) -> str:
        """How raw values become [0, 1], in one sentence."""
        ...

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> Floats:
        """Scores in [0, 1], shape (n,).

        `tokens` are the answers' lengths in the base model's tokens.
        """
        ...
