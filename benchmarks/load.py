"""Many sessions on one dashboard: `python -m benchmarks.load --sessions 50 --seconds 300`.

Real WebSocket clients, each a session of its own that opens Explore on the demo and moves its
weights every few seconds, as the browser's panel does. Says how long reruns take beside those of
one session alone, whether any failed, and how the server's memory goes in the last 60 % of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from dataclasses import dataclass, field

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.support.browser_tools import ROOT, serve

# A user who moves a slider, looks, and moves it again.
PAUSE = (2.0, 6.0)
ALONE = 30.0
FEWEST = 5  # reruns of the session alone, however long they take
PANEL = "palm_atlas.panel"
# Of the run, from the end: what memory is looked at for.
LAST = 0.6
# Of the 95th percentile, over that of one session alone.
AIM = 5.0


@dataclass
class Seen:
    """What the clients saw: seconds of each rerun, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Client:
    """One session."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.panel = ""
        self.errors: list[str] = []

    async def rerun(self, raw: list[int] | None = None) -> float:
        """Run the page anew, with the panel's weights moved or as it opens; seconds it took."""
        message = BackMsg()
        message.rerun_script.query_string = ""
        if raw is not None:
            value = message.rerun_script.widget_states.widgets.add()
            value.id = self.panel
            value.json_value = json.dumps({"raw": raw})
        started = time.perf_counter()
        await self.socket.send(message.SerializeToString())
        while True:
            answer = ForwardMsg()
            answer.ParseFromString(bytes(await self.socket.recv(decode=False)))
            kind = answer.WhichOneof("type")
            if kind == "delta" and answer.delta.WhichOneof("type") == "new_element":
                element = answer.delta.new_element
                if element.WhichOneof("type") == "bidi_component":
                    if element.bidi_component.component_name == PANEL:
                        self.panel = element.bidi_component.id
                elif element.WhichOneof("type") == "exception":
                    self.errors.append(element.exception.message)
            if kind == "script_finished":
                return time.perf_counter() - started


async def use(url: str, seconds: float, seen: Seen, seed: int) -> None:
    """One session for so long."""
    rng = random.Random(seed)
    address = url.replace("http://", "ws://") + "/_stcore/stream"
    end = time.monotonic() + seconds
    try:
        async with websockets.connect(
            address,
            subprotocols=[websockets.Subprotocol("streamlit")],
            origin=websockets.Origin(url),
            max_size=None,
            open_timeout=60,
        ) as socket:
            client = Client(socket)
            await client.rerun()
            while time.monotonic() < end:
                await asyncio.sleep(rng.uniform(*PAUSE))
                seen.seconds.append(await client.rerun([rng.randint(0, 100) for _ in range(3)]))
            seen.errors += client.errors
    except (OSError, websockets.WebSocketException) as error:
        seen.errors.append(f"{type(error).__name__}: {error}")


async def watch(process: psutil.Process, seconds: float, sizes: list[tuple[float, float]]) -> None:
    """The server's memory, megabytes by second."""
    started = time.monotonic()
    while (now := time.monotonic() - started) < seconds:
        sizes.append((now, process.memory_info().rss / 1e6))
        await asyncio.sleep(2)


@dataclass(frozen=True)
class Result:
    """What came out.

    Attributes:
        lines: a sentence each.
        errors: that sessions saw.
        ratio: 95th percentile of a rerun, together over alone.
        grown: megabytes of memory by which the last part's trend rose, beyond its noise.
    """

    lines: tuple[str, ...]
    errors: tuple[str, ...]
    ratio: float
    grown: float

    @property
    def missed(self) -> list[str]:
        """Aims that were missed."""
        found = ["errors"] if self.errors else []
        found += [f"p95 {self.ratio:.1f}x, aim {AIM:g}x"] if self.ratio > AIM else []
        return found + ([f"memory {self.grown:.1f} MB"] if self.grown > 0 else [])


async def measure(
    url: str, pid: int, sessions: int, seconds: float, alone_for: float = ALONE
) -> Result:
    """One session alone, then all."""
    alone = Seen()
    while len(alone.seconds) < FEWEST and not alone.errors:
        await use(url, alone_for, alone, 0)
    together = Seen()
    sizes: list[tuple[float, float]] = []
    await asyncio.gather(
        watch(psutil.Process(pid), seconds, sizes),
        *(use(url, seconds, together, i) for i in range(1, sessions + 1)),
    )
    late = [(t, m) for t, m in sizes if t > (1 - LAST) * seconds]
    fit = statistics.linear_regression([t for t, _ in late], [m for _, m in late])
    noise = statistics.stdev([m - fit.slope * t - fit.intercept for t, m in late])
    p95 = [statistics.quantiles(s.seconds, n=20)[-1] for s in (alone, together)]
    errors = (*alone.errors, *together.errors)
    lines = (
        f"{sessions} sessions, {seconds:.0f} s: {len(together.seconds):,} reruns,"
        f" {len(errors)} errors {sorted(set(errors))[:3] or ''}",
        f"p95 of a rerun: {p95[1]:.2f} s; one session alone {p95[0]:.2f} s: {p95[1] / p95[0]:.1f}x",
        f"memory: {late[0][1]:.0f} to {late[-1][1]:.0f} MB in the last {LAST * seconds:.0f} s,"
        f" {60 * fit.slope:+.1f} MB a minute, noise {noise:.1f} MB",
    )
    grown = fit.slope * LAST * seconds - 2 * noise
    return Result(lines, errors, p95[1] / p95[0], grown)


def main() -> None:
    """Measure and print; exit status 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300.0)
    asked = parser.parse_args()
    with serve(ROOT / "app" / "main.py") as (url, server):
        found = asyncio.run(measure(url, server.pid, asked.sessions, asked.seconds))
    print("\n".join(found.lines))
    sys.exit(f"missed: {', '.join(found.missed)}" if found.missed else 0)


if __name__ == "__main__":
    main()
