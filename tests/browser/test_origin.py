"""The server answers its own pages only: a page of another origin can't open a session."""

from __future__ import annotations

import asyncio
import socket
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

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


def test_only_this_machine_can_connect(url: str) -> None:
    port = urllib.parse.urlsplit(url).port
    assert port is not None
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
    for address in own - {"127.0.0.1", "127.0.1.1"}:
        with socket.socket() as probe:
            probe.settimeout(3)
            assert probe.connect_ex((address, port)) != 0, f"{address} answers"
