"""Reading a request within limits, and answering it while somebody waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from palm_engine._json import parse_json
from palm_engine.errors import PalmError
from palm_engine.serving.gateway.errors import (
    BadRequestError,
    ClientGoneError,
    DatabaseFailedError,
    GatewayError,
    InternalError,
    TooLargeError,
    WrongTypeError,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


logger = logging.getLogger("palm.gateway")


@dataclass(frozen=True)
class GatewayLimits:
    """What a request may take.

    Attributes:
        body_bytes: of its body.
        body_seconds: until its body is there.
        at_once: requests that are answered at the same time.
        send_seconds: that a client may take to read a piece of a stream.
    """

    body_bytes: int = 1_000_000
    body_seconds: float = 30.0
    at_once: int = 1000
    send_seconds: float = 60.0


async def read_body(request: Request, limits: GatewayLimits) -> dict[str, Any]:
    """The JSON object that a request sends.

    Args:
        request: whose body is read.
        limits: that it keeps to.

    Raises:
        WrongTypeError: it isn't declared as JSON.
        TooLargeError: it is too large.
        BadRequestError: it doesn't come in time, or is no JSON object.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        # A form of another site could send anything else without being asked.
        raise WrongTypeError("the body must be declared as Content-Type: application/json")
    most = limits.body_bytes
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise TooLargeError(f"the body is larger than {most:,} bytes")
                parts.append(part)
    except TimeoutError as error:
        raise BadRequestError(f"the body wasn't there within {limits.body_seconds:g} s") from error
    hint = "send one JSON object"
    body = parse_json(b"".join(parts), BadRequestError, "body", hint)
    if not isinstance(body, dict):
        raise BadRequestError("body: one JSON object is needed")
    return body


async def unless_gone(request: Request, work: Awaitable[Any]) -> Any:
    """The result of `work`, which is cancelled where the client goes before.

    Args:
        request: whose body was read.
        work: to wait for.

    Raises:
        ClientGoneError: the client has gone.
        CancelledError: the gateway ends.
    """
    mine = asyncio.current_task()
    assert mine is not None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left = True
        mine.cancel()

    watching = asyncio.ensure_future(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if not left:
            raise
        mine.uncancel()
        raise ClientGoneError("the client has gone") from None
    finally:
        watching.cancel()


def streamed(
    pieces: AsyncIterator[bytes],
    headers: Mapping[str, str],
    media_type: str,
    over: Callable[[], None],
    limits: GatewayLimits,
) -> Response:
    """A stream as it comes, for as long as somebody reads.

    Args:
        pieces: of the body.
        headers: of the response.
        media_type: of the body.
        over: is called at its end, whoever ends it.
        limits: how long a client may not read.
    """
    from starlette.responses import StreamingResponse

    class Stream(StreamingResponse):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def timed(message: Any) -> None:
                async with asyncio.timeout(limits.send_seconds):
                    await send(message)

            try:
                await super().__call__(scope, receive, timed)
            except TimeoutError:
                logger.warning("a client that read nothing for long was left")
            finally:
                over()
                with suppress(RuntimeError):  # it runs still, and ends by itself
                    await pieces.aclose()  # type: ignore[attr-defined]

    return Stream(pieces, 200, dict(headers), media_type)


def failure(error: Exception) -> Response:
    """An error as clients of OpenAI's interface know it; what wasn't foreseen is logged."""
    from starlette.responses import JSONResponse

    known: GatewayError
    if isinstance(error, GatewayError):
        known = error
    elif isinstance(error, PalmError):
        known = BadRequestError(str(error))
    elif type(error).__module__.startswith("sqlalchemy"):
        logger.warning("the database failed: %s", error)
        known = DatabaseFailedError("the database can't be asked now; try again", 5)
    else:
        logger.exception("a request failed", exc_info=error)
        known = InternalError("this failed here; the log of the gateway says more")
    headers = {} if known.retry_after is None else {"retry-after": str(known.retry_after)}
    kind = "server_error" if known.status >= 500 else "invalid_request_error"
    content = {"error": {"message": str(known), "type": kind, "code": known.code, "param": None}}
    return JSONResponse(content, known.status, headers)
