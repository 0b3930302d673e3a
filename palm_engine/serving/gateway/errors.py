"""What the gateway refuses, with the status and the code that clients of OpenAI's interface know.

Every body is `{"error": {"message", "type", "code", "param"}}`.
"""

from __future__ import annotations

from typing import ClassVar

from palm_engine.errors import PalmError


class GatewayError(PalmError):
    """A request that isn't answered.

    Attributes:
        status: of the response.
        code: for programs.
        retry_after: seconds after which to try again; None where that doesn't help.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "invalid_request"

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadRequestError(GatewayError):
    """A request that makes no sense: names the field."""


class UnauthorizedError(GatewayError):
    """No key, or a wrong one."""

    status = 401
    code = "invalid_api_key"


class UnknownModelError(GatewayError):
    """A model that isn't served here."""

    status = 404
    code = "model_not_found"


class UnknownUserError(GatewayError):
    """A user who has no profile."""

    status = 404
    code = "user_not_found"


class TooLargeError(GatewayError):
    """A body over the limit."""

    status = 413
    code = "request_too_large"


class WrongTypeError(GatewayError):
    """A body that isn't declared as JSON."""

    status = 415
    code = "unsupported_media_type"


class TooManyRequestsError(GatewayError):
    """A key over its rate."""

    status = 429
    code = "rate_limit_exceeded"


class ClientGoneError(GatewayError):
    """Nobody waits for the answer any more."""

    status = 499
    code = "client_closed_request"


class InternalError(GatewayError):
    """Something that wasn't foreseen."""

    status = 500
    code = "internal_error"


class DatabaseFailedError(GatewayError):
    """The database can't be asked."""

    status = 503
    code = "database_failed"


class UpstreamError(GatewayError):
    """The server behind the gateway can't be reached, or its answer makes no sense."""

    status = 502
    code = "upstream_error"


class BusyError(GatewayError):
    """More requests at once than the gateway takes."""

    status = 503
    code = "overloaded"


class UpstreamTimeoutError(GatewayError):
    """The server behind the gateway took too long."""

    status = 504
    code = "upstream_timeout"
