"""An engine behind the gateway, as an ASGI application: answers as told, remembers what it got."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FakeEngine:
    """OpenAI's interface over what a test sets.

    Attributes:
        models: that it serves.
        status: of its answers.
        unknown: settings that it refuses.
        pause: seconds between two pieces of a stream.
        words: pieces of a stream.
        newline: of its events.
        asked: bodies that it got.
        cut: streams whose client left before their end.
    """

    models: tuple[str, ...]
    status: int = 200
    unknown: tuple[str, ...] = ()
    pause: float = 0.0
    words: tuple[str, ...] = ("one", " two", " three")
    newline: str = "\n"
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
        self.asked.append(body)
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        known = [name for name in self.unknown if name in body]
        if known:
            error = {"message": f"Unrecognized request argument: {known[0]}", "code": 400}
            await self._json(send, 400, {"error": error})
        elif self.status != 200:
            await self._json(send, self.status, {"error": {"message": "no", "code": "x"}})
        elif body.get("stream"):
            await self._stream(receive, send, body["model"])
        else:
            await asyncio.sleep(self.pause * len(self.words))
            message = {"role": "assistant", "content": "".join(self.words)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
            await self._json(send, 200, {**whole, "choices": [choice]})

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
            for part in (data[:9], data[9:]):
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
