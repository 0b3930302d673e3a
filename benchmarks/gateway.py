"""Claims: the gateway adds little to an engine asked directly, and keeps up with a bare proxy.

At 50 streams at once on two cores, with an engine that costs nothing: 3 ms more to the first event
at the median, 15 ms at the 99th percentile; at least .8 of the requests per second of a Starlette
proxy that only passes on. Each is a process of its own, asked in turns by the same client.
`Router` picks for 200,000 users per second and core.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.common import DEMO, Row
from palm_engine.bundle.folder import read_bundle
from palm_engine.geometry.simplex import sample_uniform
from palm_engine.serving.router import Router

STREAMS = 50
ROUNDS = 6
EVENTS = 20
# Seconds between two pieces of a stream.
PACE = 0.05
CLOSED = 32
SECONDS = 6.0
USERS = 1_000_000
QUESTION = {"messages": [{"role": "user", "content": "My old ladder wobbles. Can I still use it?"}]}
PROXY_ENV = "PALM_BENCH_ENGINE"
POOLED_ENV = "PALM_BENCH_POOLED"


def engine() -> Any:
    """An engine that costs next to nothing: for uvicorn, as a factory."""
    from tests.support.engines import FakeEngine

    bundle = read_bundle(DEMO)
    models = (*(bundle.policies[row] for row in bundle.members), "base")
    words = tuple(f" word{i}" for i in range(EVENTS))
    return _Forgetful(FakeEngine(models, words=words, pause=PACE, split=False))


class _Forgetful:
    """The tests' engine, but it keeps nothing."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.inner.asked.clear()
        self.inner.headers.clear()
        await self.inner(scope, receive, send)


def proxy() -> Any:
    """What the gateway is compared with: Starlette and httpx, passing on and nothing else."""
    import httpx
    from starlette.applications import Starlette
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    from palm_engine.serving.gateway.upstream import pooled_transport

    # As anybody writes it, or over the gateway's own connections: then what differs is what the
    # gateway does beside passing on.
    pool = httpx.Limits(max_connections=None, max_keepalive_connections=256)
    transport = pooled_transport() if os.environ.get(POOLED_ENV) else None
    client = httpx.AsyncClient(transport=transport, limits=pool, timeout=60, trust_env=False)
    url = f"{os.environ[PROXY_ENV]}/v1/chat/completions"

    async def chat(request: Any) -> Any:
        body = await request.body()
        headers = {"content-type": "application/json"}
        asked = client.build_request("POST", url, content=body, headers=headers)
        answer = await client.send(asked, stream=True)
        media = answer.headers["content-type"]
        if media.startswith("text/event-stream"):
            return StreamingResponse(answer.aiter_bytes(), 200, media_type=media)
        content = await answer.aread()
        await answer.aclose()
        return Response(content, answer.status_code, media_type=media)

    return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])


@contextmanager
def _process(words: list[str], port: int, **environment: str) -> Iterator[psutil.Process]:
    made = subprocess.Popen(
        [sys.executable, "-m", *words],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if made.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{words[:2]} didn't start")
            time.sleep(0.05)
        yield psutil.Process(made.pid)
    finally:
        made.send_signal(signal.SIGTERM)
        try:
            made.wait(20)
        except subprocess.TimeoutExpired:
            made.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _request(port: int, stream: bool) -> bytes:
    weights = {"safety": 0.5, "humor": 0.3, "brevity": 0.2}
    content = {**QUESTION, "model": "palm", "stream": stream, "palm": {"weights": weights}}
    if port in _PLAIN:
        content = {**QUESTION, "model": "base", "stream": stream}
    body = json.dumps(content).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost:{port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    )
    return head.encode() + b"\r\n" + body


# Ports of what knows no `palm`.
_PLAIN: set[int] = set()


async def _first_event(port: int) -> float:
    """Seconds from a request on a new connection to its first event; the rest is read too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    started = time.perf_counter()
    writer.write(_request(port, True))
    seen = b""
    first = 0.0
    while b"[DONE]" not in seen[-400:]:
        part = await reader.read(65536)
        if not part:
            raise RuntimeError(f"a stream broke off: {seen[:300]!r}")
        seen += part
        if not first and b"data: " in seen:
            first = time.perf_counter() - started
    writer.close()
    if b" 200 " not in seen[:20]:
        raise RuntimeError(seen[:300].decode())
    return first


async def _streams(port: int) -> list[float]:
    """First events of streams that come one after another, so that STREAMS run at any time."""

    async def one_after_another(number: int) -> list[float]:
        await asyncio.sleep(number * EVENTS * PACE / STREAMS)
        return [await _first_event(port) for _ in range(ROUNDS)]

    found = await asyncio.gather(*(one_after_another(i) for i in range(STREAMS)))
    return [seconds for some in found for seconds in some]


async def _whole(port: int, until: float) -> int:
    """How many whole answers one connection gets until then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = _request(port, False)
    count = 0
    while time.perf_counter() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            raise RuntimeError(head.decode())
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        count += 1
    writer.close()
    return count


async def _per_second(port: int, process: psutil.Process) -> tuple[float, float]:
    """Whole answers per second, and processor time of each in seconds."""
    await asyncio.gather(*(_whole(port, time.perf_counter() + 1) for _ in range(CLOSED)))
    before = sum(process.cpu_times()[:2])
    started = time.perf_counter()
    counts = await asyncio.gather(*(_whole(port, started + SECONDS) for _ in range(CLOSED)))
    seconds = time.perf_counter() - started
    cpu = sum(process.cpu_times()[:2]) - before
    return sum(counts) / seconds, cpu / sum(counts)


def _over_http() -> list[Row]:
    names = ("engine", "proxy", "pooled proxy", "gateway")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = {name: _free_port() for name in names}
        _PLAIN.update(ports[name] for name in names[:3])
        address = f"http://127.0.0.1:{ports['engine']}"
        uvicorn = ["uvicorn", "--log-level", "error", "--factory"]
        serve = ["palm_engine.cli.main", "serve", str(DEMO), "--upstream", f"{address}/v1"]
        serve += ["--database", f"sqlite:///{folder / 'users.db'}"]
        words = {
            "engine": [*uvicorn, "benchmarks.gateway:engine"],
            "proxy": [*uvicorn, "benchmarks.gateway:proxy"],
            "pooled proxy": [*uvicorn, "benchmarks.gateway:proxy"],
            "gateway": serve,
        }
        processes = {}
        for name in names:
            more = {PROXY_ENV: address, POOLED_ENV: "1" if name == "pooled proxy" else ""}
            command = [*words[name], "--port", str(ports[name])]
            processes[name] = stack.enter_context(_process(command, ports[name], **more))
        first: dict[str, list[float]] = {name: [] for name in names}
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for _ in range(3):
            for name in names:
                first[name] += asyncio.run(_streams(ports[name]))
        for _ in range(3):
            for name in names[1:]:
                measured = asyncio.run(_per_second(ports[name], processes[name]))
                rates[name].append(measured)

    def added(name: str) -> str:
        more = [
            1000 * (np.percentile(first[name], q) - np.percentile(first["engine"], q))
            for q in (50, 99)
        ]
        return f"{more[0]:.1f} ms more at the median, {more[1]:.1f} at the 99th percentile"

    best = {name: sorted(rates[name])[1] for name in names[1:]}

    def rate(name: str) -> str:
        return f"{best[name][0]:.0f} per second, {1000 * best[name][1]:.2f} ms of processor each"

    ratio = {name: best["gateway"][0] / best[name][0] for name in names[1:3]}
    return [
        (
            f"First event through the gateway, {STREAMS} streams at once",
            f"{added('gateway')}",
            f"the engine asked directly; through a bare Starlette proxy: {added('proxy')}",
        ),
        (
            f"Whole answers through the gateway, {CLOSED} connections",
            f"{rate('gateway')}: {ratio['proxy']:.2f}x of a bare Starlette proxy,"
            f" {ratio['pooled proxy']:.2f}x of one over the gateway's connections",
            f"the proxy: {rate('proxy')}; over the gateway's connections: {rate('pooled proxy')}",
        ),
    ]


def _router() -> Row:
    bundle = read_bundle(DEMO)
    router = Router.of(bundle)
    weights = sample_uniform(len(bundle.traits), USERS, np.random.default_rng(0))
    router.pick_many(weights[:1000])
    before = time.process_time()
    picked = router.pick_many(weights)
    seconds = time.process_time() - before
    some = range(0, USERS, USERS // 2000)
    before = time.process_time()
    one_by_one = [router.pick(weights[i]).policy for i in some]
    single = time.process_time() - before
    assert [router.policies[picked[i]] for i in some] == one_by_one
    return (
        f"Router: members of {USERS:,} users",
        f"{USERS / seconds / 1e6:.1f} million per second and core",
        f"one pick after another: {len(one_by_one) / single:,.0f} per second",
    )


def rows() -> list[Row]:
    """The rows of RESULTS.md."""
    return [*_over_http(), _router()]
