"""The engine in this process: one loaded model, its members stacked, requests one after another."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from palm_engine.errors import GenerationError, InvalidInputError, ModelSourceError, PalmError
from palm_engine.lm.generation.conversation import Turn
from palm_engine.serving.backends.interface import live_settings
from palm_engine.serving.gateway.conversation import text_of
from palm_engine.serving.gateway.errors import BadRequestError, BusyError, UpstreamError
from palm_engine.serving.gateway.forwarding import Forwarded
from palm_engine.serving.gateway.portfolio import Decision, ServedPortfolio
from palm_engine.serving.gateway.upstream import Answer

if TYPE_CHECKING:
    from palm_engine.serving.host import LoadOptions, ModelHost
    from palm_engine.serving.ticket import Ticket

# Seconds between two looks at an answer that grows.
LOOK = 0.02
SETTINGS = ("temperature", "top_p", "top_k", "repetition_penalty", "seed")
# Fields that change nothing here.
WITHOUT_EFFECT = frozenset(
    {"model", "messages", "stream", "stream_options", "user", "metadata", "store", "n", "palm"}
    | {"max_tokens", "max_completion_tokens", *SETTINGS}
)


class LocalUpstream:
    """Answers from a model of this process."""

    def __init__(self, host: ModelHost, options: LoadOptions) -> None:
        self.host = host
        self.options = options

    async def require(self, served: ServedPortfolio) -> None:
        """See Upstream.

        Raises:
            InvalidInputError: a member can't answer here, or the bundle has another base.
        """
        if not self.host.serves(served.bundle):
            raise InvalidInputError(
                "its base model isn't the one that is loaded; start the gateway anew"
            )
        able = self.host.backend(served.bundle).policies
        if missing := [p for p in served.router.policies if p not in able]:
            raise InvalidInputError(f"{', '.join(missing)} can't answer in this process")
        members = list(served.router.policies)
        # Now, and not when somebody waits for an answer.
        await asyncio.to_thread(self.host.load, served.bundle, members, self.options)

    async def ask(self, request: Forwarded, decision: Decision) -> Answer:
        """See Upstream.

        Raises:
            UpstreamError: the model failed.
            BadRequestError: it asks for what isn't supported here.
        """
        body = request.body
        about = decision.as_json(request.source, request.as_evaluated)
        options = body.get("stream_options") or {}
        if not isinstance(options, dict):
            raise BadRequestError("stream_options: an object is needed")
        ticket, read = await asyncio.to_thread(self._submitted, body, decision)
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": decision.model,
        }
        most = ticket.settings.max_new_tokens
        if body.get("stream"):
            wants_usage = bool(options.get("include_usage"))
            events = _events(ticket, head, about, most, read if wants_usage else None)
            return Answer(200, events, "text/event-stream")
        try:
            while not ticket.look().ended:
                await asyncio.sleep(LOOK)
        finally:
            ticket.cancel()
        if ticket.state != "done":
            raise UpstreamError(ticket.error or "the answer was cancelled", 1)
        row = ticket.rows[0]
        content = {
            **head,
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": row.text},
                    "finish_reason": _finish(row.tokens, most),
                }
            ],
            "usage": _usage(read, row.tokens),
            "palm": about,
        }
        return Answer(200, json.dumps(content, ensure_ascii=False).encode())

    async def close(self) -> None:
        """See Upstream."""
        await asyncio.to_thread(self.host.unload)

    def _submitted(self, body: Mapping[str, Any], decision: Decision) -> tuple[Ticket, int]:
        """The question in the queue, and how many tokens it has.

        Raises:
            BadRequestError: it asks for what isn't supported here.
            BusyError: the queue is full.
            UpstreamError: the model can't answer.
        """
        unknown = [k for k, v in body.items() if k not in WITHOUT_EFFECT and v is not None]
        if unknown:
            raise BadRequestError(
                f"{unknown[0]}: isn't supported by --local; leave it out, or serve with --upstream"
            )
        if body.get("n") not in (None, 1):
            raise BadRequestError("n: --local gives one answer to a request")
        *earlier, last = body["messages"][1:] or [{"role": ""}]
        if last["role"] != "user":
            raise BadRequestError("messages: the last one must be the user's")
        system = body["messages"][0]["content"]
        prompt = text_of(last)
        turns = _turns(earlier)
        bundle = decision.bundle
        longest = body.get("max_completion_tokens") or body.get("max_tokens")
        try:
            settings = live_settings(
                bundle, max_new_tokens=longest, **{k: body.get(k) for k in SETTINGS}
            )
            backend = self.host.backend(bundle).conversation(system, turns)
            rows = backend.requests([prompt], [decision.policy], settings)
            read = backend.longest(rows, settings)
            ticket = self.host.queue.submit(
                uuid.uuid4().hex, backend, [prompt], [decision.policy], settings
            )
            return ticket, read
        except (InvalidInputError, ModelSourceError) as error:
            raise BadRequestError(str(error)) from error
        except GenerationError as error:
            raise BusyError(str(error), 5) from error
        except PalmError as error:
            raise UpstreamError(str(error)) from error


async def _events(
    ticket: Ticket,
    head: Mapping[str, Any],
    about: Mapping[str, Any],
    most: int,
    read: int | None,
) -> AsyncIterator[bytes]:
    row = ticket.rows[0]
    sent = 0
    delta: dict[str, str] = {"role": "assistant", "content": ""}
    extra: dict[str, Any] = {"palm": about}
    try:
        while True:
            ended = ticket.look().ended
            text = row.text
            if len(text) > sent or extra:
                piece = {**delta, "content": text[sent:]}
                yield _event(head, [{"index": 0, "delta": piece, "finish_reason": None}], extra)
                sent = len(text)
                delta, extra = {}, {}
            if ended:
                break
            await asyncio.sleep(LOOK)
        if ticket.state != "done":
            failed = {"message": ticket.error or "cancelled", "type": "server_error"}
            yield f"data: {json.dumps({'error': failed})}\n\n".encode()
        else:
            reason = _finish(row.tokens, most)
            yield _event(head, [{"index": 0, "delta": {}, "finish_reason": reason}], {})
            if read is not None:
                yield _event(head, [], {"usage": _usage(read, row.tokens)})
        yield b"data: [DONE]\n\n"
    finally:
        ticket.cancel()


def _event(head: Mapping[str, Any], choices: list[Any], extra: Mapping[str, Any]) -> bytes:
    content = {**head, "object": "chat.completion.chunk", "choices": choices, **extra}
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n".encode()


def _usage(read: int, written: int) -> dict[str, int]:
    total = read + written
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": total}


def _finish(tokens: int, most: int) -> str:
    return "length" if tokens >= most else "stop"


def _turns(messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    for message in messages:
        if message["role"] not in ("user", "assistant"):
            raise BadRequestError(f"messages: --local knows no role {message['role']!r}")
    return tuple(Turn(m["role"], text_of(m)) for m in messages)
