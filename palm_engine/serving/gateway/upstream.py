"""The engine behind the gateway, and its form over HTTP: vLLM or another OpenAI-compatible server.

A request goes on as it came, but for the model, the system prompt and what the gateway fills in. A
stream is passed on as it comes; only its first event is opened, to put in who answers.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from palm_engine.bundle.served import (
    lacks_system_role,
    with_plain_users,
    without_system_role,
)
from palm_engine.errors import GenerationError, InvalidInputError
from palm_engine.serving.gateway.errors import UpstreamError, UpstreamTimeoutError
from palm_engine.serving.gateway.forwarding import Forwarded
from palm_engine.serving.gateway.portfolio import Decision, ServedPortfolio

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
LISTING_SECONDS = 10.0
# Of an answer that isn't streamed, and of the first event of one that is.
MOST_BYTES = 32_000_000
MOST_EVENT = 1_000_000
# Pools of connections, and idle ones that each keeps.
POOLS = 16
KEPT = 16
# What vLLM and others know beside OpenAI's own settings.
EXTRAS = ("top_k", "repetition_penalty")


@dataclass(frozen=True)
class Answer:
    """What the engine answers.

    Attributes:
        status: of HTTP.
        content: the whole body, or its pieces as they come.
        media_type: of the body.
    """

    status: int
    content: bytes | AsyncIterator[bytes]
    media_type: str = "application/json"


class Upstream(Protocol):
    """An engine that answers as the members of a portfolio."""

    async def require(self, served: ServedPortfolio) -> None:
        """Check that it serves every member.

        Raises:
            InvalidInputError: it doesn't; names the members.
            GenerationError: it can't be reached.
        """
        ...

    async def ask(self, request: Forwarded, decision: Decision) -> Answer:
        """Answer a request; the answer's field `palm` says who did.

        Args:
            request: in OpenAI's form, `model` and `messages` as the engine needs them.
            decision: who answers.

        Raises:
            GatewayError: it can't be answered.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class HttpUpstream:
    """A server with OpenAI's interface."""

    def __init__(
        self,
        url: str,
        timeout: float = 120.0,
        key_variable: str = "OPENAI_API_KEY",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connect when first asked.

        Args:
            url: as in http://localhost:8000/v1.
            timeout: seconds between two pieces of an answer.
            key_variable: environment variable that holds the server's key, where it needs one.
            transport: in place of the network, for tests.
        """
        self.url = url.rstrip("/")
        # What people see: never a password.
        self.name = re.sub(r"//[^/@]*@", "//", self.url)
        self.timeout = timeout
        self._key = os.environ.get(key_variable)
        self._transport = transport
        self._made: httpx.AsyncClient | None = None
        self._extras = True

    @property
    def _client(self) -> httpx.AsyncClient:
        """The connections; of the event loop that first asks for them."""
        import httpx

        if self._made is None:
            # A few words at a time gain nothing by being packed.
            headers = {"Accept-Encoding": "identity"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            self._made = httpx.AsyncClient(
                transport=self._transport or pooled_transport(),
                timeout=httpx.Timeout(self.timeout, connect=CONNECT_SECONDS),
                headers=headers,
                trust_env=False,
            )
        return self._made

    async def require(self, served: ServedPortfolio) -> None:
        """See Upstream.

        Raises:
            InvalidInputError: a member isn't served.
        """
        known = await self._models()
        pairs = zip(served.router.policies, served.router.models, strict=True)
        missing = [f"{policy} (as {model!r})" for policy, model in pairs if model not in known]
        if missing:
            raise InvalidInputError(
                f"{self.name} doesn't serve {', '.join(missing)}; it serves"
                f" {', '.join(sorted(known)[:20]) or 'nothing'}. palm export vllm writes a folder"
                " that serves all members; --base-model names the base's model"
            )

    async def _models(self) -> set[str]:
        """Names of the models that the server has.

        Raises:
            GenerationError: it doesn't say.
        """
        import httpx

        try:
            found = await self._client.get(f"{self.url}/models", timeout=LISTING_SECONDS)
            found.raise_for_status()
            return {str(model["id"]) for model in found.json()["data"]}
        except (httpx.HTTPError, httpx.InvalidURL, KeyError, TypeError, ValueError) as error:
            raise GenerationError(
                f"{self.name}: doesn't say what it serves ({_reason(error)}); is it running, and is"
                " its address right (it usually ends in /v1)?"
            ) from error

    async def ask(self, request: Forwarded, decision: Decision) -> Answer:
        """See Upstream.

        A server that knows OpenAI's settings alone refuses the others. Those that the gateway has
        put in are then left out, from then on; one that the application gave never is. Where the
        engine's template has no system role, the system prompt begins the user's message. Special
        tokens in what users wrote are broken up, so that they are text there too.
        """
        own = request.filled & set(EXTRAS)
        body = dict(request.body) if self._extras else _without(request.body, own)
        body["messages"] = with_plain_users(body["messages"])
        response = await self._send(body)
        while response.status_code == 400:
            refused = await _whole(response)
            told = refused.decode(errors="replace")
            if any(name in body and name in told for name in own):
                body = _without(body, own)
                self._extras = False
            elif lacks_system_role(body["messages"], told):
                body["messages"] = without_system_role(body["messages"])
            else:
                return Answer(400, refused)
            response = await self._send(body)
        as_evaluated = request.as_evaluated and own <= set(body)
        about = decision.as_json(request.source, as_evaluated)
        if response.status_code == 200 and request.body.get("stream"):
            media = response.headers.get("content-type", "text/event-stream")
            return Answer(200, _events(response, about), media)
        content = await _whole(response)
        if response.status_code == 200:
            content = _marked(content, about)
        return Answer(response.status_code, content)

    async def close(self) -> None:
        """See Upstream."""
        if self._made is not None:
            await self._made.aclose()
            self._made = None

    async def _send(self, body: Mapping[str, Any]) -> httpx.Response:
        import httpx

        request = self._client.build_request(
            "POST",
            f"{self.url}/chat/completions",
            content=json.dumps(body, ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            return await self._client.send(request, stream=True)
        except httpx.TimeoutException as error:
            raise UpstreamTimeoutError(
                f"the server behind this took too long ({_reason(error)})"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamError(
                f"the server behind this can't be reached ({_reason(error)})", 1
            ) from error


def _without(body: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {k: v for k, v in body.items() if k not in names}


def pooled_transport() -> httpx.AsyncBaseTransport:
    """Connections in several small pools, asked in turns.

    httpx's pool looks at every pair of its connections at each request: with hundreds of streams
    that would take longer than all else.
    """
    import httpx

    class Pools(httpx.AsyncBaseTransport):
        def __init__(self) -> None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=KEPT)
            trusted = httpx.create_ssl_context()
            made = [
                httpx.AsyncHTTPTransport(verify=trusted, retries=1, limits=limits)
                for _ in range(POOLS)
            ]
            self._pools = made
            self._turn = itertools.cycle(made)

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await next(self._turn).handle_async_request(request)

        async def aclose(self) -> None:
            for pool in self._pools:
                await pool.aclose()

    return Pools()


async def _whole(response: httpx.Response) -> bytes:
    import httpx

    parts: list[bytes] = []
    size = 0
    try:
        async for part in response.aiter_bytes():
            size += len(part)
            if size > MOST_BYTES:
                raise UpstreamError("the answer of the server behind this is too large")
            parts.append(part)
    except httpx.TimeoutException as error:
        raise UpstreamTimeoutError("the server behind this took too long") from error
    except httpx.HTTPError as error:
        raise UpstreamError(f"the server behind this broke off ({_reason(error)})", 1) from error
    finally:
        await _closed(response)
    return b"".join(parts)


def _marked(content: bytes, about: Mapping[str, Any]) -> bytes:
    try:
        answer = json.loads(content)
        return json.dumps({**answer, "palm": about}, ensure_ascii=False).encode()
    except (ValueError, TypeError) as error:
        raise UpstreamError("the answer of the server behind this is no JSON object") from error


async def _events(response: httpx.Response, about: Mapping[str, Any]) -> AsyncIterator[bytes]:
    """The stream as it comes, `palm` in its first event; closed when nobody reads any more."""
    import httpx

    first: bytes | None = b""
    packed = "content-encoding" in response.headers  # by a server that doesn't listen
    try:
        async for part in response.aiter_bytes() if packed else response.aiter_raw():
            if first is None:
                yield part
                continue
            first += part.replace(b"\r\n", b"\n")
            ready, first = _first_events(first, about)
            if ready:
                yield ready
        if first:
            yield first
    except httpx.HTTPError as error:
        # The status is sent: what went wrong can only be said in the stream.
        failed = {"message": f"the server behind this broke off ({_reason(error)})"}
        content = {"error": {**failed, "type": "server_error", "code": "upstream_error"}}
        yield f"\n\ndata: {json.dumps(content)}\n\ndata: [DONE]\n\n".encode()
    finally:
        await _closed(response)


def _first_events(read: bytes, about: Mapping[str, Any]) -> tuple[bytes, bytes | None]:
    """What can be sent of what was read, and what is kept; None once `palm` is put in.

    Comments and other fields may stand before the first event with data.
    """
    ready = b""
    while (end := read.find(b"\n\n")) >= 0:
        event, read = read[:end], read[end:]
        if any(line.startswith(b"data:") for line in event.split(b"\n")):
            return ready + _marked_event(event, about) + read, None
        ready += event + read[:2]
        read = read[2:]
    return (ready + read, None) if len(read) > MOST_EVENT else (ready, read)


def _marked_event(event: bytes, about: Mapping[str, Any]) -> bytes:
    """An event with `palm` put in; as it is where it isn't one JSON object."""
    lines = event.split(b"\n")
    for i, line in enumerate(lines):
        if line.startswith(b"data:"):
            try:
                content = json.loads(line[5:])
            except ValueError:
                return event
            if isinstance(content, dict):
                marked = json.dumps({**content, "palm": about}, ensure_ascii=False)
                lines[i] = b"data: " + marked.encode()
            return b"\n".join(lines)
    return event


async def _closed(response: httpx.Response) -> None:
    """Close a response, whoever was cancelled: the server behind stops generating."""
    await asyncio.shield(asyncio.ensure_future(response.aclose()))


def _reason(error: BaseException) -> str:
    return str(error).strip()[:200] or type(error).__name__
