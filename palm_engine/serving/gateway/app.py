"""The gateway's interface over HTTP: OpenAI's chat completions, models, users, health, metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from palm_engine._types import Floats
from palm_engine.serving.gateway.access import Access
from palm_engine.serving.gateway.conversation import last_text, messages_of
from palm_engine.serving.gateway.errors import BusyError
from palm_engine.serving.gateway.exchange import (
    GatewayLimits,
    failure,
    read_body,
    streamed,
    unless_gone,
)
from palm_engine.serving.gateway.forwarding import forwarded, is_as_evaluated
from palm_engine.serving.gateway.metrics import Metrics
from palm_engine.serving.gateway.portfolio import PICK, Decision, ServedPortfolio
from palm_engine.serving.gateway.preference import Preference, preference_of
from palm_engine.serving.gateway.upstream import Upstream
from palm_engine.serving.gateway.users import Users
from palm_engine.serving.profiles.profile import Asked, Profile
from palm_engine.serving.profiles.recorder import Recorder
from palm_engine.serving.profiles.store import Profiles

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
logger = logging.getLogger("palm.gateway")
Handler = Callable[["Request"], Awaitable["Response"]]


@dataclass
class Gateway:
    """One address for a portfolio.

    Attributes:
        served: the portfolio; replaced as a whole when its bundle is.
        upstream: the engine that answers.
        access: who may ask.
        default: weights of requests that carry none, shape (d,).
        profiles: of users; None without a database.
        recorder: of traffic; None where nothing is recorded.
        record_prompts: whether prompts are recorded too.
        limits: of a request.
        metrics: counted here.
        host: that it listens on, a name for it beside this machine's usual ones.
    """

    served: ServedPortfolio
    upstream: Upstream
    access: Access
    default: Floats
    profiles: Profiles | None = None
    recorder: Recorder | None = None
    record_prompts: bool = False
    limits: GatewayLimits = field(default_factory=GatewayLimits)
    metrics: Metrics = field(default_factory=Metrics)
    host: str = "localhost"
    _running: int = 0

    def app(self, background: Callable[[], Awaitable[None]] | None = None) -> Starlette:
        """The application, for a server of the ASGI interface.

        Args:
            background: runs beside it, as the watch over the bundle does.
        """
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.routing import Route

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            task = asyncio.ensure_future(background()) if background is not None else None
            try:
                yield
            finally:
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError, Exception):
                        await task
                try:
                    await self.upstream.close()
                finally:
                    if self.recorder is not None:
                        await asyncio.to_thread(self.recorder.close)

        # A page of the web that has its name point here isn't let in; where keys are needed, it has
        # none.
        hosts = [*LOCAL_HOSTS, self.host]
        guard = [] if self.access.keys else [Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]
        people = Users(self.profiles, lambda: self.served.bundle.traits, self.limits)
        routes = [
            Route(
                "/v1/chat/completions", self._guarded(self._chat, counted=True), methods=["POST"]
            ),
            Route("/v1/models", self._guarded(self._models)),
            Route("/v1/palm/route", self._guarded(self._route), methods=["POST"]),
            Route(
                "/v1/palm/users/{user:path}",
                self._guarded(people.answer),
                methods=["GET", "PUT", "DELETE"],
            ),
            Route("/metrics", self._guarded(self._metrics, limited=False)),
            Route("/healthz", self._health),
        ]
        return Starlette(routes=routes, middleware=guard, lifespan=lifespan)

    def _guarded(self, handler: Handler, counted: bool = False, limited: bool = True) -> Handler:
        """A handler for those who may ask; what it raises becomes an answer.

        Args:
            handler: what is asked.
            counted: whether its failures are counted with the chat's.
            limited: whether the rate of its key holds.
        """

        async def handle(request: Request) -> Response:
            try:
                address = request.client.host if request.client else ""
                name = self.access.require(request.headers)
                if limited:
                    self.access.count(name, address)
                return await handler(request)
            except Exception as error:  # nobody gets a page of text, or nothing at all
                response = failure(error)
                if counted:
                    self.metrics.requests.labels(str(response.status_code)).inc()
                return response

        return handle

    async def _chat(self, request: Request) -> Response:
        if self._running >= self.limits.at_once:
            raise BusyError(f"{self.limits.at_once} requests are answered already", 1)
        self._running += 1
        self.metrics.running.inc()
        handed_on = False

        def over() -> None:
            self._running -= 1
            self.metrics.running.dec()

        try:
            response, handed_on = await self._answer(request, over)
            self.metrics.requests.labels(str(response.status_code)).inc()
            return response
        finally:
            if not handed_on:
                over()

    async def _answer(self, request: Request, over: Callable[[], None]) -> tuple[Response, bool]:
        """The response, and whether it is a stream, which calls `over` at its end."""
        from starlette.responses import Response

        body = await read_body(request, self.limits)
        started = time.perf_counter()
        served = self.served
        preference = await self._preference(body, request, served)
        decision = served.decide(preference.weights, body.get("model"))
        sent = forwarded(body, decision, preference.source)
        self.metrics.decided(decision, preference.source, time.perf_counter() - started)
        answer = await unless_gone(request, self.upstream.ask(sent, decision))
        headers = {
            "x-palm-policy": decision.policy,
            "x-palm-gap": f"{decision.gap:.6f}",
            "x-palm-source": preference.source,
        }
        if answer.status == 200:
            self._record(preference, decision, body)
        if isinstance(answer.content, bytes):
            return Response(answer.content, answer.status, headers, answer.media_type), False
        headers["cache-control"] = "no-cache"
        stream = streamed(answer.content, headers, answer.media_type, over, self.limits)
        return stream, True

    async def _preference(
        self, body: Mapping[str, Any], request: Request, served: ServedPortfolio
    ) -> Preference:
        palm = body.get("palm") or {}
        named = body.get("user") or request.headers.get("x-palm-user")
        asks = named or (isinstance(palm, dict) and palm.get("user"))
        traits = served.bundle.traits

        def look() -> Preference:
            profile_of = self._profile if self.profiles is not None else lambda _: None
            return preference_of(body, request.headers, traits, self.default, profile_of)

        # A database may take long: others' requests go on meanwhile.
        return await asyncio.to_thread(look) if asks and self.profiles else look()

    def _profile(self, user: str) -> Profile | None:
        """A user's profile; None too where the database fails: an answer is better than none."""
        from sqlalchemy.exc import SQLAlchemyError

        assert self.profiles is not None
        try:
            return self.profiles.get(user)
        except SQLAlchemyError as error:
            self.metrics.lookups_failed.inc()
            logger.warning("a profile couldn't be looked up: %s", error)
            return None

    def _record(
        self,
        preference: Preference,
        decision: Decision,
        body: Mapping[str, Any],
    ) -> None:
        if self.recorder is None:
            return
        # A prompt is kept where its user can have it deleted, or where it is nobody's.
        keeps = self.record_prompts and (preference.anonymous or preference.user is not None)
        self.recorder.add(
            Asked(
                at=datetime.now(UTC),
                weights=decision.weights,
                source=preference.source,
                policy=decision.policy,
                gap=decision.gap,
                bundle=decision.bundle.manifest.name,
                user=preference.user if keeps else None,
                prompt=last_text(messages_of(body)) if keeps else None,
            )
        )
        self.metrics.dropped.set(self.recorder.dropped)

    async def _models(self, _: Request) -> Response:
        from starlette.responses import JSONResponse

        bundle = self.served.bundle
        made = [
            {
                "id": name,
                "object": "model",
                "created": 0,
                "owned_by": "palm",
                "label": f"picked by weights ({bundle.manifest.name})"
                if name == PICK
                else bundle.label(name),
            }
            for name in self.served.models
        ]
        return JSONResponse({"object": "list", "data": made})

    async def _route(self, request: Request) -> Response:
        """Who would answer, without asking the engine."""
        from starlette.responses import JSONResponse

        body = await read_body(request, self.limits)
        served = self.served
        preference = await self._preference(body, request, served)
        decision = served.decide(preference.weights, body.get("model"))
        # Without messages: a question alone.
        whole = {"messages": [{"role": "user", "content": "?"}], **body}
        return JSONResponse(decision.as_json(preference.source, is_as_evaluated(whole, decision)))

    async def _metrics(self, _: Request) -> Response:
        from starlette.responses import Response

        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _health(self, _: Request) -> Response:
        from starlette.responses import JSONResponse

        bundle = self.served.bundle
        return JSONResponse(
            {"status": "ok", "bundle": bundle.manifest.name, "members": len(bundle.members)}
        )
