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
from palm_engine.serving.profiles.profile import MOST_LETTERS, Profile, check_user
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
        user: who asks, where that user has a profile; None where not.
        anonymous: whether no user is named.
    """

    weights: Floats
    source: Source
    user: str | None = None
    anonymous: bool = True


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
    user = _user(given.user, headers, body)
    profile = None if user is None else profile_of(user)
    known = None if profile is None else user
    nobody = user is None
    if given.weights is not None:
        return Preference(_weights(given.weights, traits, "palm.weights"), "request", known, nobody)
    if header := headers.get(WEIGHTS_HEADER):
        try:
            parsed = parse_weights(header, WEIGHTS_HEADER)
        except InvalidInputError as error:
            raise BadRequestError(str(error)) from error
        return Preference(_weights(parsed, traits, WEIGHTS_HEADER), "request", known, nobody)
    if profile is None:
        return Preference(default, "default", known, nobody)
    where = f"the weights of user {user!r} don't fit; write them again (palm users set)"
    return Preference(_weights(profile.weights, traits, where), profile.source, known, nobody)


def _user(given: str | None, headers: Mapping[str, str], body: Mapping[str, Any]) -> str | None:
    """The user whom a request names.

    Raises:
        BadRequestError: an id that makes no sense.
    """
    header = headers.get(USER_HEADER)
    try:
        # Headers are read as Latin-1; what was sent is UTF-8.
        named = None if header is None else header.encode("latin-1").decode("utf-8")
    except UnicodeError as error:
        raise BadRequestError(f"{USER_HEADER}: isn't UTF-8") from error
    user = given or named or body.get("user")
    if user is None:
        return None
    try:
        check_user(user)
    except (InvalidInputError, TypeError) as error:
        raise BadRequestError(f"user: {error}") from error
    return str(user)


def _weights(given: Any, traits: list[str], where: str) -> Floats:
    try:
        return weights_of(given, traits)
    except InvalidInputError as error:
        raise BadRequestError(f"{where}: {error}") from error
