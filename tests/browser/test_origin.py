"""The server answers its own pages only: a page of another origin can't open a session."""

from __future__ import annotations

import asyncio
import socket
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from palm_engine.cli.dashboard import command_line, dashboard_home
from tests.support.browser_tools import free_port, started

websockets = pytest.importorskip("websockets")


def connected(url: str, origin: str | None) -> bool:
    """Whether a session opens for a page of `origin`."""

    async def ask() -> bool:
        address = url.replace("http://", "ws://") + "/_stcore/stream"
        options: dict[str, Any] = {} if origin is None else {"origin": origin}
        try:
            async with websockets.connect(address, subprotocols=["streamlit"], **options):
                return True
        except websockets.exceptions.InvalidStatus as error:
            return bool(error.response.status_code not in (400, 403))

    # In a thread of its own: a browser test may have left a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(asyncio.wait_for(ask(), 30))).result()


def test_other_origins_are_refused(url: str) -> None:
    assert connected(url, url)
    for origin in ("http://evil.example", "https://localhost.evil.example", "null"):
        assert not connected(url, origin), origin


def test_the_origin_of_a_named_proxy_is_accepted_and_no_other(bundles: Path) -> None:
    port = free_port()
    words = command_line(dashboard_home(), bundles, port, "atlas.example.org")
    with started([*words[:4], "--server.headless", "true", *words[4:]], port) as (address, _):
        assert connected(address, "https://atlas.example.org")
        assert not connected(address, "https://evil.example.org")


def test_only_this_machine_can_connect(url: str) -> None:
    port = urllib.parse.urlsplit(url).port
    assert port is not None
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward, suppress(OSError):
        outward.connect(("192.0.2.1", 9))  # sends nothing; tells the address towards others
        own.add(outward.getsockname()[0])
    own = {a for a in own if not str(a).startswith("127.")}
    if not own:
        pytest.skip("this machine has no address but its own loopback")
    for address in own:
        with socket.socket() as probe:
            probe.settimeout(3)
            assert probe.connect_ex((address, port)) != 0, f"{address} answers"
