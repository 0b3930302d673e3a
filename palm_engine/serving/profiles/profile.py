"""A user's weights, where they come from, and what was asked with which weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

ProfileSource = Literal["set", "asked", "default"]
SOURCES: tuple[ProfileSource, ...] = ("set", "asked", "default")
# Of a user id.
MOST_LETTERS = 256


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
        user: whose profile was used, where prompts are recorded; else None.
        prompt: the last message, where prompts are recorded; else None.
    """

    at: datetime
    weights: Mapping[str, float]
    source: str
    policy: str
    gap: float
    user: str | None = None
    prompt: str | None = None
