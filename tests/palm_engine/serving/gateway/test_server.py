"""The gateway as a process: what it refuses at its start, how it ends, how it takes a bundle up."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette")

from palm_engine._files import whole_folder
from palm_engine.bundle.folder import read_bundle
from palm_engine.serving.gateway.access import Access
from palm_engine.serving.gateway.app import Gateway
from palm_engine.serving.gateway.portfolio import ServedPortfolio
from palm_engine.serving.gateway.server import Watch
from palm_engine.serving.gateway.upstream import HttpUpstream
from tests.support.bundles import make_bundle
from tests.support.engines import FakeEngine, events, running

PALM = [sys.executable, "-m", "palm_engine.cli.main"]
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello?"}]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(folder: Path, engine: str, *more: str) -> Iterator[tuple[Any, subprocess.Popen[str]]]:
    """`palm serve` as a process of its own, ready."""
    port = free_port()
    words = ["serve", str(folder), "--upstream", f"{engine}/v1", "--port", str(port), *more]
    users = f"sqlite:///{folder.parent / 'users.db'}"
    process = subprocess.Popen(
        [*PALM, *words, "--database", users],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
    try:
        until = time.monotonic() + 120
        while True:
            try:
                client.get("/healthz")
                break
            except httpx.HTTPError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < until, "the gateway didn't start"
                time.sleep(0.05)
        yield client, process
    finally:
        client.close()
        process.kill()
        process.wait(30)


def test_it_ends_after_what_runs_has_ended(tmp_path: Path) -> None:
    make_bundle(tmp_path / "mine")
    engine = FakeEngine(("m1", "m2", "m3"), pause=0.1, words=("word",) * 20)
    with running(engine) as url, served(tmp_path / "mine", url) as (client, process):
        body = {**QUESTION, "stream": True}
        text = ""
        with client.stream("POST", "/v1/chat/completions", json=body) as got:
            for piece in got.iter_text():
                if not text:
                    process.send_signal(signal.SIGTERM)
                text += piece
        assert len(events(text)) == 20
        said = process.communicate(timeout=60)[0]
        assert "Traceback" not in said
        with pytest.raises(httpx.HTTPError):
            client.get("/healthz")
    assert engine.cut == 0


def test_a_bundle_that_is_replaced_is_taken_up_and_no_request_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    make_bundle(folder)
    make_bundle(tmp_path / "next", members=5)
    engine = FakeEngine(("m1", "m2", "m3", "m4", "m5"), delay=0.03)
    failed: list[Any] = []
    done = threading.Event()
    with running(engine) as url, served(folder, url) as (client, _):

        def load() -> None:
            while not done.is_set():
                answer = client.post("/v1/chat/completions", json=QUESTION)
                if answer.status_code != 200:
                    failed.append(answer.text)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        with whole_folder(folder) as part:
            shutil.copytree(tmp_path / "next", part, dirs_exist_ok=True)
        until = time.monotonic() + 60
        while client.get("/healthz").json()["members"] != 5 and time.monotonic() < until:
            time.sleep(0.1)
        assert client.get("/healthz").json()["members"] == 5
        done.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert len(engine.asked) > 10


def watched(folder: Path, engine: str) -> tuple[Gateway, Watch]:
    gateway = Gateway(
        ServedPortfolio.of(read_bundle(folder)),
        HttpUpstream(f"{engine}/v1"),
        Access(),
        np.full(3, 1 / 3),
    )
    return gateway, Watch(gateway)


@pytest.mark.parametrize("replaced_by", ["other traits", "no members", "a member", "damaged"])
def test_a_bundle_that_cannot_be_served_is_not_taken_up(tmp_path: Path, replaced_by: str) -> None:
    folder = tmp_path / "mine"
    make_bundle(folder)

    async def play(engine: str) -> tuple[bool, bool, Gateway]:
        gateway, watch = watched(folder, engine)
        before = await watch.look()
        shutil.rmtree(folder)
        assert await watch.look() is False  # gone: the old one is served on
        options: dict[str, Any] = {"other traits": {"d": 4}, "no members": {"members": 0}}.get(
            replaced_by, {"members": 6}
        )
        make_bundle(folder, **options)
        if replaced_by == "damaged":
            (folder / "portfolio.json").write_text("{")
        after = await watch.look()
        await gateway.upstream.close()
        return before, after, gateway

    with running(FakeEngine(("m1", "m2", "m3"))) as engine:
        before, after, gateway = asyncio.run(play(engine))
    assert (before, after) == (False, False)
    assert gateway.served.router.policies == ("m1", "m2", "m3")
    assert b'palm_reloads_total{result="refused"} 1.0' in gateway.metrics.text()


def test_a_bundle_whose_members_the_engine_gets_later_is_taken_up_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palm_engine.serving.gateway.server.AGAIN", 0.0)
    folder = tmp_path / "mine"
    make_bundle(folder)
    behind = FakeEngine(("m1", "m2", "m3"))

    async def play(engine: str) -> list[bool]:
        gateway, watch = watched(folder, engine)
        shutil.rmtree(folder)
        make_bundle(folder, members=5)
        found = [await watch.look() for _ in range(2)]
        behind.models = ("m1", "m2", "m3", "m4", "m5")
        found += [await watch.look() for _ in range(2)]
        assert len(gateway.served.router.policies) == 5
        # However often it is tried: said and counted once.
        assert b'palm_reloads_total{result="refused"} 1.0' in gateway.metrics.text()
        await gateway.upstream.close()
        return found

    with running(behind) as engine:
        assert asyncio.run(play(engine)) == [False, False, True, False]


def test_weights_of_requests_without_any_follow_the_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    make_bundle(folder)

    async def play(engine: str) -> Any:
        gateway, _ = watched(folder, engine)
        watch = Watch(gateway, default_of=lambda bundle: np.eye(3)[len(bundle.members) - 4])
        shutil.rmtree(folder)
        make_bundle(folder, members=5)
        assert await watch.look()
        await gateway.upstream.close()
        return gateway.default

    with running(FakeEngine(("m1", "m2", "m3", "m4", "m5"))) as engine:
        np.testing.assert_array_equal(asyncio.run(play(engine)), [0, 1, 0])


def test_whatever_fails_at_a_reload_the_gateway_goes_on_and_records(tmp_path: Path) -> None:
    from palm_engine.serving.profiles.database import Database
    from palm_engine.serving.profiles.profile import Asked
    from palm_engine.serving.profiles.recorder import Recorder
    from palm_engine.serving.profiles.store import Profiles

    folder = tmp_path / "mine"
    make_bundle(folder)
    profiles = Profiles(Database(f"sqlite:///{tmp_path / 'users.db'}"))

    async def play(engine: str) -> None:
        gateway, watch = watched(folder, engine)
        gateway.recorder = Recorder(profiles)

        async def fails(_: ServedPortfolio) -> None:
            raise OSError("disk")

        gateway.upstream.require = fails  # type: ignore[assignment, method-assign]
        shutil.rmtree(folder)
        make_bundle(folder, members=5)
        assert await watch.look() is False

        async def broken() -> None:
            raise OSError("disk")

        app = gateway.app(broken)
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0)
            now = datetime.now(UTC)
            gateway.recorder.add(Asked(now, {"humor": 1.0}, "set", "m1", 0.0, "mine"))

    with running(FakeEngine(("m1", "m2", "m3"))) as engine:
        asyncio.run(play(engine))
    assert len(list(profiles.traffic())) == 1


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "either --upstream URL or --local"),
        (("--upstream", "http://127.0.0.1:9/v1", "--local"), "either --upstream URL or --local"),
        (("--upstream", "http://127.0.0.1:9/v1"), "is it running"),
        (("--upstream", "http://127.0.0.1:9/v1", "--host", "0.0.0.0"), "--api-key"),
        (("--upstream", "http://127.0.0.1:9/v1", "--rate", "often"), "--rate"),
        (("--upstream", "http://127.0.0.1:9/v1", "--default", "wit=1"), "wit"),
        (("--upstream", "http://127.0.0.1:9/v1", "--api-key", "keys.txt"), "line 2"),
        (("--upstream", "ENGINE/v1"), "doesn't serve m3 (as 'm3')"),
    ],
)
def test_what_it_cannot_serve_is_said_at_once(
    tmp_path: Path, words: tuple[str, ...], named: str
) -> None:
    make_bundle(tmp_path / "mine")
    (tmp_path / "keys.txt").write_text("# applications\nshop short\n")
    with running(FakeEngine(("m1", "m2"))) as engine:
        words = tuple(w.replace("ENGINE", engine) for w in words)
        database = f"sqlite:///{tmp_path / 'users.db'}"
        done = subprocess.run(
            [*PALM, "serve", str(tmp_path / "mine"), *words, "--database", database],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=tmp_path,
        )
    assert done.returncode == 2
    assert named in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    make_bundle(tmp_path / "mine")
    with running(FakeEngine(("m1", "m2", "m3"))) as engine:
        port = engine.rpartition(":")[2]
        words = ["serve", str(tmp_path / "mine"), "--upstream", f"{engine}/v1", "--port", port]
        done = subprocess.run(
            [*PALM, *words, "--database", f"sqlite:///{tmp_path / 'users.db'}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 2
    assert "choose another port" in done.stderr


def test_users_and_traffic_by_commands(tmp_path: Path) -> None:
    make_bundle(tmp_path / "mine")
    engine = FakeEngine(("m1", "m2", "m3"))

    def palm(*words: str) -> subprocess.CompletedProcess[str]:
        database = f"sqlite:///{tmp_path / 'users.db'}"
        return subprocess.run(
            [*PALM, *words, "--database", database],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=120,
        )

    with running(engine) as url, served(tmp_path / "mine", url) as (client, process):
        assert (
            palm("users", "set", "ada", "--weights", "humor=3,safety=1,brevity=0").returncode == 0
        )
        said = client.post("/v1/chat/completions", json={**QUESTION, "user": "ada"}).json()
        assert said["palm"]["weights"] == {"safety": 0.25, "humor": 0.75, "brevity": 0.0}
        client.post("/v1/chat/completions", json=QUESTION)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    listed = palm("users", "list")
    assert "ada\thumor 0.75, safety 0.25, brevity 0.00" in listed.stdout
    out = palm("users", "export", "--traffic", "--out", "traffic.parquet")
    assert "Wrote 1 request to traffic.parquet" in out.stdout
    assert "nobody gave their weights: 1" in " ".join(out.stdout.split())
    everyone = palm("users", "export", "--out", "users.csv")
    assert everyone.returncode == 0
    from palm_engine.analysis.populations import read_users
    from palm_engine.tables.files import read_table_file

    for name in ("traffic.parquet", "users.csv"):
        users = read_users(read_table_file(tmp_path / name), ("safety", "humor", "brevity"))
        np.testing.assert_allclose(users.weights, [[0.25, 0.75, 0.0]])
    assert palm("users", "delete", "ada").returncode == 0
    assert palm("users", "delete", "ada").returncode == 2
    assert palm("users", "show", "ada").returncode == 2
    assert palm("users", "export", "--out", "users.txt").returncode == 2
    assert json.dumps("ada") not in palm("users", "list").stdout
