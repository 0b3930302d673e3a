"""Which weights a request carries: its own, its user's, or the population's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from palm_engine._types import Floats
from palm_engine.bundle.validation import describe_validation_error
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import weights_of
from palm_engine.serving.gateway.errors import BadRequestError
from palm_engine.serving.profiles.profile import MOST_LETTERS, Profile
from palm_engine.serving.router import parse_weights

WEIGHTS_HEADER = "x-palm-weights"
USER_HEADER = "x-palm-user"

Source = Literal["request", "set", "asked", "default"]


class PalmFields(BaseModel):
    """What a request says in its field `palm`: weights by trait, or a user id."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weights: dict[str, float] | None = None
    user: str | None = Field(None, min_length=1, max_length=MOST_LETTERS)


@dataclass(frozen=True)
class Preference:
    """The weights of a request.

    Attributes:
        weights: effective weights, shape (d,).
        source: where they come from: the request, a profile that was set or asked for, or the
            default.
        user: whose profile was used; None where none was.
    """

    weights: Floats
    source: Source
    user: str | None = None


def preference_of(
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    traits: list[str],
    default: Floats,
    profile_of: Callable[[str], Profile | None],
) -> Preference:
    """The weights of a request: in its body, in a header, of its user, or the default.

    The first of these that is given counts. A user without a profile gets the default.

    Args:
        body: of the request.
        headers: of the request, by lower-case name.
        traits: names of the d traits.
        default: weights where none are given, shape (d,).
        profile_of: looks a user up.

    Raises:
        BadRequestError: weights that make no sense; names the field or header.
    """
    try:
        given = PalmFields.model_validate(body.get("palm") or {})
    except ValidationError as error:
        raise BadRequestError(f"palm: {describe_validation_error(error)}") from error
    if given.weights is not None:
        return Preference(_weights(given.weights, traits, "palm.weights"), "request")
    if header := headers.get(WEIGHTS_HEADER):
        try:
            parsed = parse_weights(header, WEIGHTS_HEADER)
        except InvalidInputError as error:
            raise BadRequestError(str(error)) from error
        return Preference(_weights(parsed, traits, WEIGHTS_HEADER), "request")
    user = given.user or headers.get(USER_HEADER) or body.get("user")
    if user is None:
        return Preference(default, "default")
    if not isinstance(user, str) or not 0 < len(user) <= MOST_LETTERS:
        raise BadRequestError(f"user: 1 to {MOST_LETTERS} characters are needed")
    profile = profile_of(user)
    if profile is None:
        return Preference(default, "default")
    weights = _weights(profile.weights, traits, f"the profile of user {user!r}")
    return Preference(weights, profile.source, user)


def _weights(given: Any, traits: list[str], where: str) -> Floats:
    try:
        return weights_of(given, traits)
    except InvalidInputError as error:
        raise BadRequestError(f"{where}: {error}") from error
