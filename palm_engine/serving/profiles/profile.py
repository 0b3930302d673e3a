"""A user's weights, where they come from, and what was asked with which weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from palm_engine.errors import InvalidInputError

ProfileSource = Literal["set", "asked", "default"]
SOURCES: tuple[ProfileSource, ...] = ("set", "asked", "default")
# Of a user id.
MOST_LETTERS = 256


def check_user(user: Any) -> None:
    """Check a user id.

    Raises:
        InvalidInputError: it is no text, empty, too long, or holds what can't be printed.
    """
    good = isinstance(user, str) and 0 < len(user) <= MOST_LETTERS and user.isprintable()
    if not good or "\ufffd" in user:
        raise InvalidInputError(
            f"user {str(user)[:40]!r}: an id has 1 to {MOST_LETTERS} printable characters"
        )


@dataclass(frozen=True)
class Profile:
    """The weights of a user.

    Attributes:
        user: id, as the application knows it.
        weights: by trait, summing to 1.
        source: "set" by the user or application, "asked" by questions, "default" of the population.
        at: when they were written, in UTC.
    """

    user: str
    weights: Mapping[str, float]
    source: ProfileSource
    at: datetime


@dataclass(frozen=True)
class Asked:
    """A request that was answered: never what it said, unless prompts are recorded.

    Attributes:
        at: when, in UTC.
        weights: effective weights, by trait.
        source: "request", or of the profile.
        policy: who answered.
        gap: additive, at the weights.
        bundle: that was served.
        user: who asked and has a profile, where prompts are recorded; else None.
        prompt: the last message, where prompts are recorded; else None.
    """

    at: datetime
    weights: Mapping[str, float]
    source: str
    policy: str
    gap: float
    bundle: str
    user: str | None = None
    prompt: str | None = None
