"""The reward interface: each maps (prompt, answer) to a number in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

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


@runtime_checkable
class FittedReward(Protocol):
    """What a reward that was fitted says of itself, besides `Reward`."""

    @property
    def card(self) -> dict[str, Any]:
        """What it was fitted on, how well it tells labels apart, how it fails."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes a score."""
        ...
