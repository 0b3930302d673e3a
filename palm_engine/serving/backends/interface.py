"""The interface of every backend.

Prompts and members in, pieces of text out, cancellable at any token.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from palm_engine.bundle.folder import Bundle
from palm_engine.errors import InvalidInputError
from palm_engine.lm.generation.sampling import SamplingSettings


@dataclass(frozen=True)
class LiveSettings(SamplingSettings):
    """How live answers are drawn.

    The same `seed` gives a member the same answer, whoever else is asked with it.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        checks = (
            (
                self.max_new_tokens >= 1,
                f"max_new_tokens is {self.max_new_tokens}; 1 or more is needed",
            ),
            (
                0 <= self.temperature <= 5,
                f"temperature is {self.temperature}; give 0 (greedy) to 5",
            ),
            (0 < self.top_p <= 1, f"top_p is {self.top_p}; give a number above 0, up to 1"),
            (self.top_k >= 1, f"top_k is {self.top_k}; 1 or more is needed"),
            (
                self.repetition_penalty > 0,
                f"repetition_penalty is {self.repetition_penalty}; give a number above 0",
            ),
            (0 <= self.seed < 2**63, f"seed is {self.seed}; give a whole number of 0 or more"),
        )
        for holds, message in checks:
            if not holds:
                raise InvalidInputError(message)


class Piece(NamedTuple):
    """What one row has new: `text` to append (may be empty), whether the row is `done`, and how
    many `tokens` it took.

    Row i is prompt `i % len(prompts)` under member `i // len(prompts)`.
    """

    row: int
    text: str
    done: bool
    tokens: int = 0


class Backend(Protocol):
    """A source of answers for the policies of one bundle."""

    @property
    def policies(self) -> tuple[str, ...]:
        """Policies that can be asked."""
        ...

    def stream(
        self, prompts: Sequence[str], members: Sequence[str], settings: LiveSettings
    ) -> Iterator[Piece]:
        """Answer every prompt under every member's own system prompt.

        Each row gives its pieces in order, exactly one of them, its last, with `done`. Close the
        iterator to cancel: nothing stays behind. Raises InvalidInputError for an unknown member or
        an unusable prompt, before the first piece; GenerationError where answering fails.
        """
        ...


def live_settings(bundle: Bundle, **changes: float | int | None) -> LiveSettings:
    """The settings that the bundle's answers were drawn with, with `changes` that aren't None."""
    kept = {
        k: v for k, v in bundle.manifest.sampling.items() if k in LiveSettings.__dataclass_fields__
    }
    kept |= {k: v for k, v in changes.items() if v is not None}
    whole = ("max_new_tokens", "top_k", "seed")
    return LiveSettings(**{k: int(v) if k in whole else float(v) for k, v in kept.items()})  # type: ignore[arg-type]


def row_seed(settings: LiveSettings, member: str, prompt: str) -> tuple[int, ...]:
    """The seed of a row's own random stream.

    Of its member and prompt only, not of what else is in the batch.
    """
    return settings.seed, zlib.crc32(member.encode()), zlib.crc32(prompt.encode())


def check_request(policies: Sequence[str], prompts: Sequence[str], members: Sequence[str]) -> None:
    """Raise InvalidInputError for no or unknown members, and for empty prompts."""
    if not members or not prompts:
        raise InvalidInputError("give at least one prompt and one member")
    for member in members:
        if member not in policies:
            raise InvalidInputError(
                f"{member!r} can't be asked here; there are {', '.join(policies)}"
            )
    if len(set(members)) < len(members):
        raise InvalidInputError("a member is named twice")
    for prompt in prompts:
        if not prompt.strip():
            raise InvalidInputError("a prompt is empty; write a question")
