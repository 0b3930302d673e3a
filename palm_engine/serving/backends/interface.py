"""The interface of every backend.

Prompts and policies in, pieces of text out, cancellable at any token.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from pydantic import Field, ValidationError

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.validation import describe_validation_error
from palm_engine.errors import InvalidInputError
from palm_engine.lm.settings import SamplingSettings


class LiveSettings(SamplingSettings):
    """How live answers are drawn.

    The same `seed` gives a policy the same answer, whoever else is asked with it.
    """

    seed: int = Field(0, ge=0, lt=2**63)


class Piece(NamedTuple):
    """What one row has new; row i is prompt `i % len(prompts)` of policy `i // len(prompts)`.

    Attributes:
        row: which row.
        text: to append; may be empty.
        done: whether the row is over.
        tokens: how many it took.
        finish: of the last one, why the row is over: "stop" by itself, "length" where it was cut,
            or what a server says; "" where nobody knows.
        notice: of the last one, what was done otherwise than it was asked; a sentence, or "".
    """

    row: int
    text: str
    done: bool
    tokens: int = 0
    finish: str = ""
    notice: str = ""


class Backend(Protocol):
    """A source of answers for the policies of one bundle."""

    @property
    def policies(self) -> tuple[str, ...]:
        """Policies that can be asked."""
        ...

    def stream(
        self, prompts: Sequence[str], policies: Sequence[str], settings: LiveSettings
    ) -> Iterator[Piece]:
        """Answer every prompt under every policy's own system prompt.

        Each row gives its pieces in order, exactly one of them, its last, with `done`. Close the
        iterator to cancel: nothing stays behind. Raises InvalidInputError for an unknown policy or
        an unusable prompt, before the first piece; GenerationError where answering fails.
        """
        ...


def live_settings(bundle: Bundle, **changes: float | int | None) -> LiveSettings:
    """The settings that the bundle's answers were drawn with, with `changes` that aren't None.

    Raises:
        InvalidInputError: naming a setting that is out of its range.
    """
    recorded = bundle.manifest.sampling
    settings = recorded.model_dump() if recorded is not None else {}
    settings |= {name: value for name, value in changes.items() if value is not None}
    try:
        return LiveSettings.model_validate(settings)
    except ValidationError as error:
        raise InvalidInputError(describe_validation_error(error)) from error


def row_seed(settings: LiveSettings, policy: str, prompt: str) -> tuple[int, ...]:
    """The seed of a row's own random stream.

    Of its policy and prompt only, not of what else is in the batch.
    """
    return settings.seed, zlib.crc32(policy.encode()), zlib.crc32(prompt.encode())


def check_request(known: Sequence[str], prompts: Sequence[str], policies: Sequence[str]) -> None:
    """Check that there are policies that are known, and prompts that are text.

    Raises:
        InvalidInputError: for no, unknown or repeated `policies`, and for empty prompts.
    """
    if not policies or not prompts:
        raise InvalidInputError("give at least one prompt and one policy")
    for policy in policies:
        if policy not in known:
            raise InvalidInputError(
                f"policy {policy!r} can't answer here; those that can: {', '.join(known) or 'none'}"
            )
    if len(set(policies)) < len(policies):
        raise InvalidInputError("a policy is named twice")
    for prompt in prompts:
        if not prompt.strip():
            raise InvalidInputError("a prompt is empty; write a question")
        if any("\ud800" <= c <= "\udfff" for c in prompt):
            raise InvalidInputError("a prompt holds half a character; write it anew, as UTF-8")
