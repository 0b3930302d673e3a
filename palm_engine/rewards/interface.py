"""The reward interface: each maps (prompt, answer) to a number in [0, 1]."""

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
        """Score answers.

        Args:
            prompts: n of them.
            answers: one per prompt.
            tokens: lengths of the answers, in the base model's tokens.

        Returns:
            Scores in [0, 1], shape (n,).
        """
        ...
