"""An engine behind the gateway, as an ASGI application: answers as told, remembers what it got."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class FakeEngine:
    """OpenAI's interface over what a test sets.

    Attributes:
        models: that it serves.
        status: of its answers.
        unknown: settings that it refuses.
        refuses: says why it refuses a body, or None.
        pause: seconds between two pieces of a stream.
        delay: seconds before a whole answer.
        split: whether an event comes in two parts.
        words: pieces of a stream.
        newline: of its events.
        reply: makes a whole answer of a body, in place of `words`.
        busy: so many requests are first answered by 503.
        broken: from the so-many-th request on, all are answered by 500; None: never.
        loads: whether it loads adapters at run time.
        adapters: paths of those that are loaded, by name.
        loaded: names of all that ever were.
        at_once: most requests that it ever had at the same time.
        asked: bodies that it got.
        cut: streams whose client left before their end.
    """

    models: tuple[str, ...]
    status: int = 200
    unknown: tuple[str, ...] = ()
    refuses: Callable[[dict[str, Any]], str | None] | None = None
    pause: float = 0.0
    delay: float = 0.0
    split: bool = True
    words: tuple[str, ...] = ("one", " two", " three")
    newline: str = "\n"
    reply: Callable[[dict[str, Any]], str] | None = None
    busy: int = 0
    broken: int | None = None
    loads: bool = False
    adapters: dict[str, str] = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)
    at_once: int = 0
    _now: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    cut: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"].endswith("/models"):
            data = [{"id": m, "object": "model"} for m in self.models]
            await self._json(send, 200, {"object": "list", "data": data})
            return
        raw = b""
        more = True
        while more:
            message = await receive()
            raw += message.get("body", b"")
            more = message.get("more_body", False)
        body = json.loads(raw)
        if scope["path"].endswith("_lora_adapter"):
            await self._adapter(send, scope["path"], body)
            return
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        try:
            await self._answer(scope, receive, send, body)
        finally:
            self._now -= 1

    async def _answer(self, scope: Any, receive: Any, send: Any, body: dict[str, Any]) -> None:
        if self.busy:
            self.busy -= 1
            await self._json(send, 503, {"error": {"message": "busy"}})
            return
        self.asked.append(body)
        if self.broken is not None and len(self.asked) > self.broken:
            await self._json(send, 500, {"error": {"message": "broken"}})
            return
        if body["model"] not in (*self.models, *self.adapters):
            await self._json(send, 404, {"error": {"message": f"no model {body['model']}"}})
            return
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        known = [name for name in self.unknown if name in body]
        why = self.refuses(body) if self.refuses else None
        if why is not None:
            await self._json(send, 400, {"error": {"message": why, "code": 400}})
        elif known:
            error = {"message": f"Unrecognized request argument: {known[0]}", "code": 400}
            await self._json(send, 400, {"error": error})
        elif self.status != 200:
            await self._json(send, self.status, {"error": {"message": "no", "code": "x"}})
        elif body.get("stream"):
            await self._stream(receive, send, body["model"])
        else:
            await asyncio.sleep(self.delay)
            said = "".join(self.words) if self.reply is None else self.reply(body)
            message = {"role": "assistant", "content": said}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
            await self._json(send, 200, {**whole, "choices": [choice]})

    async def _adapter(self, send: Any, path: str, body: dict[str, Any]) -> None:
        """As vLLM does it: 404 where it may not, 400 without a name or path."""
        name, folder = body.get("lora_name"), body.get("lora_path")
        if not self.loads:
            await self._json(send, 404, {"detail": "Not Found"})
        elif "unload" in path:
            known = self.adapters.pop(str(name), None)
            await self._json(send, 200 if known else 404, {"message": "ok"})
        elif not name or not folder or not Path(folder).is_dir():
            await self._json(send, 400, {"error": {"message": "no such adapter"}})
        else:
            self.adapters[name] = folder
            self.loaded.append(name)
            await self._json(send, 200, {"message": "ok"})

    async def _stream(self, receive: Any, send: Any, model: str) -> None:
        left = asyncio.ensure_future(_gone(receive))
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        head = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": model}
        for word in self.words:
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            event = f"data: {json.dumps({**head, 'choices': [choice]})}" + 2 * self.newline
            # In two parts: whoever reads must not take a part for an event.
            data = event.encode()
            for part in (data[:9], data[9:]) if self.split else (data,):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(self.pause)
            if left.done():
                self.cut += 1
                return
        end = f"data: [DONE]{2 * self.newline}".encode()
        await send({"type": "http.response.body", "body": end})
        left.cancel()

    async def _json(self, send: Any, status: int, content: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextlib.contextmanager
def running(app: Any) -> Iterator[str]:
    """An ASGI application on a port of its own; gives its address."""
    import uvicorn

    config = uvicorn.Config(app, port=0, log_level="error", lifespan="auto")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive(), "the server didn't start"
        assert time.monotonic() < until, "the server didn't start in time"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(60)


def events(text: str) -> list[Any]:
    """What a stream says, its end left out."""
    data = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    assert data[-1] == "[DONE]", text[-300:]
    return [json.loads(item) for item in data[:-1]]
