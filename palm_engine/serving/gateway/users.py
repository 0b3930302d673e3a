"""Users over HTTP: their weights are read, written and deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from palm_engine.bundle.validation import describe_validation_error
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import named_weights, weights_of
from palm_engine.serving.gateway.errors import BadRequestError, UnknownUserError
from palm_engine.serving.gateway.exchange import GatewayLimits, read_body
from palm_engine.serving.profiles.profile import Profile, ProfileSource, check_user
from palm_engine.serving.profiles.store import Profiles

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


class UserFields(BaseModel):
    """What is written of a user."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weights: dict[str, float]
    source: ProfileSource = "set"


@dataclass(frozen=True)
class Users:
    """The users of a gateway.

    Attributes:
        profiles: where they are kept; None without a database.
        traits: of the portfolio that is served now.
        limits: of a request.
    """

    profiles: Profiles | None
    traits: Callable[[], list[str]]
    limits: GatewayLimits

    async def answer(self, request: Request) -> Response:
        """Read, write or delete a user.

        Raises:
            UnknownUserError: there is no such user, or no database.
            BadRequestError: an id or weights that make no sense.
        """
        from starlette.responses import JSONResponse, Response

        if self.profiles is None:
            raise UnknownUserError("no database of users is open here (palm serve --database)")
        user = request.path_params["user"]
        try:
            check_user(user)
            if request.method == "DELETE":
                if not await asyncio.to_thread(self.profiles.delete, user):
                    raise UnknownUserError(f"there is no user {user!r}")
                return Response(status_code=204)
            profile: Profile | None
            if request.method == "PUT":
                body = await read_body(request, self.limits)
                profile = await asyncio.to_thread(self._write, user, body)
            else:
                profile = await asyncio.to_thread(self.profiles.get, user)
        except InvalidInputError as error:
            raise BadRequestError(str(error)) from error
        if profile is None:
            raise UnknownUserError(f"there is no user {user!r}")
        return JSONResponse(
            {
                "user": profile.user,
                "weights": dict(profile.weights),
                "source": profile.source,
                "at": profile.at.isoformat(),
            }
        )

    def _write(self, user: str, body: Any) -> Profile:
        assert self.profiles is not None
        try:
            fields = UserFields.model_validate(body)
        except ValidationError as error:
            raise BadRequestError(describe_validation_error(error)) from error
        traits = self.traits()
        given = named_weights(weights_of(fields.weights, traits), traits)
        return self.profiles.set(user, given, fields.source)
