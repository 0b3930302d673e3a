"""The short form of the load test: a few sessions, half a minute (slow)."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("websockets")
pytest.importorskip("psutil")

from benchmarks.load import Result, measure
from tests.support.browser_tools import ROOT, serve

pytestmark = pytest.mark.slow


def test_no_session_sees_an_error() -> None:
    with serve(ROOT / "app" / "main.py") as (url, server):
        found = asyncio.run(measure(url, server.pid, sessions=8, seconds=25, alone_for=8))
    assert found.errors == ()
    assert len(found.lines) == 3
    assert found.ratio > 0


def test_missed_aims_are_named() -> None:
    assert Result((), (), 2.0, -1.0).missed == []
    assert Result((), ("x",), 6.0, 3.0).missed == ["errors", "p95 6.0x, aim 5x", "memory 3.0 MB"]
