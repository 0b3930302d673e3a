"""The reward interface and the registry by name.

Each maps (prompt, answer) to a number in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError


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


_registry: dict[str, Callable[[], Reward]] = {}


def register(name: str, make: Callable[[], Reward]) -> None:
    """Make a reward available to build configurations under `name`.

    `make` is called on first use.
    """
    _registry[name] = make


def reward_names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_registry)


def get_reward(name: str) -> Reward:
    """The reward called `name`. Raises InvalidInputError listing the known names."""
    if name not in _registry:
        raise InvalidInputError(
            f"reward {name!r} is not known; known are {', '.join(reward_names())}"
        )
    return _registry[name]()
