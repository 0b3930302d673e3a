"""The engine in this process: the same form as a server's, of a tiny model with real adapters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette")

from palm_engine.serving.gateway.access import Access
from palm_engine.serving.gateway.app import Gateway
from palm_engine.serving.gateway.local import LocalUpstream
from palm_engine.serving.gateway.portfolio import ServedPortfolio
from palm_engine.serving.host import LoadOptions, ModelHost
from tests.support.engines import events, running
from tests.support.fakes import live_bundle, tiny_base

QUESTION = {"messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 12}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    root = tmp_path_factory.mktemp("local")
    bundle = live_bundle(root / "tiny", tiny_base(root / ".base"))
    host = ModelHost()
    members = [bundle.policies[row] for row in bundle.members]
    options = LoadOptions(device="cpu", dtype="float32")
    host.load(bundle, members, options)
    gateway = Gateway(
        ServedPortfolio.of(bundle), LocalUpstream(host, options), Access(), np.full(3, 1 / 3)
    )
    with (
        running(gateway.app()) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as made,
    ):
        yield made


def ask(client: Any, **fields: Any) -> Any:
    return client.post("/v1/chat/completions", json={**QUESTION, **fields})


def test_streamed_and_whole_answers_say_the_same_and_members_differ(client: Any) -> None:
    texts = {}
    for member in ("a", "b", "c"):
        whole = ask(client, model=member, temperature=0)
        assert whole.status_code == 200, whole.text
        choice = whole.json()["choices"][0]
        assert choice["finish_reason"] in ("stop", "length")
        usage = whole.json()["usage"]
        assert usage["prompt_tokens"] > 10
        assert usage["completion_tokens"] <= 12
        assert whole.json()["palm"]["policy"] == member
        options = {"stream": True, "stream_options": {"include_usage": True}}
        found = events(ask(client, model=member, temperature=0, **options).text)
        text = "".join(e["choices"][0]["delta"].get("content", "") for e in found[:-1])
        assert text == choice["message"]["content"]
        assert found[0]["palm"]["policy"] == member
        assert found[-1]["usage"] == usage
        assert found[-2]["choices"][0]["finish_reason"] == choice["finish_reason"]
        texts[member] = text
    assert len(set(texts.values())) == 3


def test_an_answer_depends_on_what_was_said_before(client: Any) -> None:
    said: list[str] = []
    earlier: list[dict[str, str]] = []
    for begin in ("", "I like tea.", "I like coffee."):
        if begin:
            earlier = [
                {"role": "user", "content": begin},
                {"role": "assistant", "content": "Noted."},
            ]
        messages = [*earlier, *QUESTION["messages"]]  # type: ignore[misc]
        answer = ask(client, model="a", temperature=0, messages=messages).json()
        assert answer["palm"]["as_evaluated"] is False or not begin
        said.append(answer["choices"][0]["message"]["content"])
    assert len(set(said)) == 3


def test_the_same_seed_gives_the_same_answer(client: Any) -> None:
    same = [ask(client, model="a", seed=7).json()["choices"] for _ in range(2)]
    assert same[0] == same[1]
    assert ask(client, model="a", seed=8).json()["choices"] != same[0]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tools": [{}]}, "tools"),
        ({"n": 2}, "n:"),
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 100_000}, "max_new_tokens"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "text"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "last"),
        ({"messages": [{"role": "user", "content": "x" * 3000}]}, "don't fit"),
    ],
)
def test_what_it_cannot_do_is_refused(client: Any, fields: dict[str, Any], named: str) -> None:
    answer = ask(client, **fields)
    assert answer.status_code in (400, 503), answer.text
    assert named in answer.json()["error"]["message"]


def test_a_client_that_leaves_frees_the_model(client: Any) -> None:
    body = {**QUESTION, "stream": True, "max_tokens": 400, "model": "a", "temperature": 1}
    with client.stream("POST", "/v1/chat/completions", json=body) as got:
        next(got.iter_lines())
    assert ask(client).status_code == 200


def test_a_replaced_bundle_is_loaded_and_what_waits_gets_the_old_one(tmp_path: Path) -> None:
    """The gateway's own watch takes it up; adapters of another base are refused."""
    import asyncio
    import shutil

    from palm_engine._files import whole_folder
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.serving.backends.interface import LiveSettings
    from palm_engine.serving.gateway.server import Watch

    base = tiny_base(tmp_path / ".base")
    old = live_bundle(tmp_path / "tiny", base)
    host = ModelHost()
    options = LoadOptions(device="cpu", dtype="float32")
    host.load(old, [old.policies[row] for row in old.members], options)
    gateway = Gateway(
        ServedPortfolio.of(old), LocalUpstream(host, options), Access(), np.full(3, 1 / 3)
    )
    watch = Watch(gateway)
    settings = LiveSettings(max_new_tokens=12, temperature=0)

    def said(bundle: Any, policy: str) -> str:
        ticket = host.queue.submit("x", host.backend(bundle), ["Hello?"], [policy], settings)
        assert ticket.wait(60), ticket.error
        assert ticket.state == "done", ticket.error
        return ticket.rows[0].text

    before = said(old, "a")
    other = live_bundle(tmp_path / "other" / "tiny", base)
    # The members' weights change places: the same names, other adapters.
    with whole_folder(old.folder) as part:
        shutil.copytree(other.folder, part, dirs_exist_ok=True)
        shutil.copytree(part / "adapters" / "b", part / "adapters" / "swap")
        shutil.rmtree(part / "adapters" / "b")
        (part / "adapters" / "a").rename(part / "adapters" / "b")
        (part / "adapters" / "swap").rename(part / "adapters" / "a")
        text = (part / "portfolio.json").read_text()
        hashes = {c.policy: c for c in other.manifest.candidates if c.adapter}
        for field in ("adapter_sha256", "adapter_weights_sha256"):
            a, b = (str(getattr(hashes[p], field)) for p in ("a", "b"))
            text = text.replace(a, "SWAP").replace(b, a).replace("SWAP", b)
        (part / "portfolio.json").write_text(text)
    assert asyncio.run(watch.look())
    new = read_bundle(old.folder)
    assert gateway.served.bundle.manifest == new.manifest
    assert said(new, "b") == before
    assert said(new, "a") != before
    assert said(old, "a") == before, "who asked before still gets what was loaded"
