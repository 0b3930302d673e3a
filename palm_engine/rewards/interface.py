"""The reward interface: each maps (prompt, answer) to a number in [0, 1]."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from inspect import getsource
from typing import Any, Protocol, runtime_checkable

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError, PalmError

ROUNDING = 1e-6
# Rewards without a fingerprint of their own, kept with it: a counter in one changes no score.
_asked: dict[int, tuple[Reward, str]] = {}
# How long answers may be where nobody says.
MOST_TOKENS = 64


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
class Described(Protocol):
    """What a reward says of itself, besides `Reward`: bundles keep it, and pages show it."""

    @property
    def card(self) -> dict[str, Any]:
        """What it is: of settings, or what it was fitted on, how well it does and how it fails."""
        ...


class OutOfRangeError(InvalidInputError):
    """A score that isn't in [0, 1].

    Args:
        name: of the reward.
        row: of the answer, among those that were scored.
        told: what is wrong.
    """

    def __init__(self, name: str, row: int, told: str) -> None:
        super().__init__(f"reward {name!r}, row {row}: {told}")
        self.name = name
        self.row = row
        self.told = told

    def __reduce__(self) -> tuple[type[OutOfRangeError], tuple[str, int, str]]:
        return type(self), (self.name, self.row, self.told)  # as it comes from another process


def scores_of(
    reward: Reward, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
) -> Floats:
    """A reward's scores, checked: out of range is refused, never clipped.

    Args:
        reward: to ask.
        prompts: n of them.
        answers: one per prompt.
        tokens: lengths of the answers, in the base model's tokens.

    Returns:
        Shape (n,), in [0, 1].

    Raises:
        OutOfRangeError: the reward gives something that is no score; names the row.
        InvalidInputError: the reward fails, or gives as many scores as there aren't answers.
        PalmError: as the reward raises it.
    """
    if not len(answers):
        return np.zeros(0)
    try:
        found = np.asarray(reward.score(prompts, answers, tokens), dtype=float)
    except PalmError:
        raise
    except Exception as error:  # whatever a user's own reward raises
        raise InvalidInputError(
            f"reward {reward.name!r} fails: {type(error).__name__}: {error}"
        ) from error
    if found.shape != (len(answers),):
        raise InvalidInputError(
            f"reward {reward.name!r} gives shape {found.shape} for {len(answers)} answers; it must"
            f" give one score for each: ({len(answers)},)"
        )
    bad = ~((found >= -ROUNDING) & (found <= 1 + ROUNDING))
    if bad.any():
        row = int(np.argmax(bad))
        told = (
            f"score {found[row]} for the answer {answers[row][:60]!r} to {prompts[row][:60]!r};"
            f" scores are in [0, 1]{getattr(reward, 'hint', '')}"
        )
        raise OutOfRangeError(reward.name, row, told)
    return np.asarray(np.clip(found, 0.0, 1.0))


def fingerprint_of(reward: Reward) -> str:
    """A hash that changes with anything that changes a score, as far as that can be known.

    The reward's own `fingerprint` where it has one; else of its class's source and the plain values
    (numbers, texts, and lists and tables of them) that its object held when it was first asked.
    """
    own = getattr(reward, "fingerprint", None)
    if own is not None:
        return str(own)
    if id(reward) not in _asked:
        _asked[id(reward)] = (reward, _fingerprint(reward))
    return _asked[id(reward)][1]


def _fingerprint(reward: Reward) -> str:
    try:
        source = getsource(type(reward))
    except (OSError, TypeError):
        source = repr(type(reward))
    held = {k: v for k, v in sorted(getattr(reward, "__dict__", {}).items()) if _is_plain(v)}
    described = f"{reward.name}\n{source}" + (f"\n{held!r}" if held else "")
    return hashlib.sha256(described.encode()).hexdigest()


def _is_plain(value: object) -> bool:
    """Whether a value is written the same in every process."""
    if isinstance(value, dict):
        return all(_is_plain(x) for pair in value.items() for x in pair)
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def is_other(reward: Reward, recorded: str | None) -> bool:
    """Whether a reward is another than the one that a fingerprint was recorded of.

    Args:
        reward: as it is here.
        recorded: the fingerprint; None where none was recorded: nothing is known against it.
    """
    return recorded is not None and recorded != fingerprint_of(reward)
