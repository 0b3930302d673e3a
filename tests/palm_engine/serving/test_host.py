"""Loading members: the host, its checks, memory estimates, and that nothing is fetched without
being asked for.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress

import pytest

torch = pytest.importorskip("torch")

from palm_engine.bundle.folder import Bundle
from palm_engine.errors import GenerationError, InvalidInputError, ModelSourceError
from palm_engine.lm import devices
from palm_engine.serving.backends.interface import live_settings
from palm_engine.serving.host import LoadOptions, ModelHost
from palm_engine.serving.ticket import Limits
from tests.support.fakes import fake_server


def test_load_ask_unload(local_base: Bundle) -> None:
    host = ModelHost()
    notes = []
    with pytest.raises(GenerationError, match="load it first"):
        host.backend(local_base)
    check = host.load(
        local_base, ["a", "b"], report=lambda share, note: notes.append((share, note))
    )
    assert check.warnings == ()
    assert check.closest == ("a", "b")
    assert (check.least_distance or 0) > 0.01
    assert [s for s, _ in notes] == sorted(s for s, _ in notes)
    info = host.info()
    assert info is not None
    assert (info.adapters, info.dtype) == (2, str(devices.pick_dtype("cpu")).removeprefix("torch."))
    backend = host.backend(local_base)
    assert set(backend.loaded) == {"base", "short", "a", "b"}
    ticket = host.queue.submit("me", backend, ["Hello?"], ["a", "c"], live_settings(local_base))
    assert ticket.wait(20)
    assert ticket.state == "done"
    assert backend.bytes_of("c") > 0
    backend.unload("c")
    assert backend.bytes_of("c") == 0
    host.unload()
    assert host.info() is None
    with pytest.raises(GenerationError, match="load it first"):
        host.backend(local_base)


def test_another_number_of_threads_loads_the_base_again(local_base: Bundle) -> None:
    host = ModelHost()
    host.load(local_base, ["a"], LoadOptions(threads=1))
    first = host.generation
    host.load(local_base, ["a"], LoadOptions(threads=1))
    assert host.generation == first
    host.load(local_base, ["a"], LoadOptions(threads=2))
    assert host.generation > first
    host.unload()


def test_another_session_keeps_the_model_from_being_unloaded(local_base: Bundle) -> None:
    host = ModelHost()
    host.load(local_base, ["a"])
    ticket = host.queue.submit(
        "other",
        host.backend(local_base),
        ["Hello?"],
        ["a"],
        live_settings(local_base, max_new_tokens=200),
    )
    with pytest.raises(GenerationError, match="1 other session"):
        host.unload("me")
    host.unload("other")
    assert ticket.wait(10)
    assert ticket.backend is None


def test_an_unloaded_model_is_freed_though_its_tickets_are_kept(local_base: Bundle) -> None:
    host = ModelHost()
    host.load(local_base, ["a"])
    backend = host.backend(local_base)
    gone = weakref.ref(backend.model.base.model)
    tickets = [
        host.queue.submit("s", backend, ["Hello?"], ["a"], live_settings(local_base))
        for _ in range(2)
    ]
    assert all(t.wait(20) for t in tickets)
    del backend
    host.unload("s")
    assert gone() is None
    assert all(t.rows[0].done for t in tickets)


def test_a_failed_load_leaves_what_is_loaded(local_base: Bundle, bundle: Bundle) -> None:
    host = ModelHost()
    host.load(local_base, ["a"])
    with pytest.raises(ModelSourceError, match=r"not a local folder|isn't on this machine"):
        host.load(bundle, ["a"])  # its base is nowhere
    assert host.serves(local_base)
    other = Bundle(bundle.folder, local_base.manifest)
    host.unload()
    with pytest.raises(InvalidInputError, match="this machine has cpu"):
        host.load(other, ["a"], LoadOptions(device="cuda"))


def test_a_bundle_without_adapters_loads_its_base(local_base: Bundle) -> None:
    host = ModelHost()
    check = host.load(local_base, [])
    assert (check.closest, check.least_distance) == (None, None)
    assert "".join(
        p.text
        for p in host.backend(local_base).stream(["Hi?"], ["base"], live_settings(local_base))
    )


def test_twenty_sessions_ask_the_stack_while_adapters_come_and_go(local_base: Bundle) -> None:
    host = ModelHost(Limits(waiting=64))
    host.load(local_base, ["a", "b"])
    backend = host.backend(local_base)
    settings = live_settings(local_base, max_new_tokens=6, temperature=0)
    members = ["a", "b", "c", "base"]
    expected = {
        f"Question {i}?": [
            "".join(p.text for p in backend.stream([f"Question {i}?"], [m], settings))
            for m in members
        ]
        for i in range(20)
    }
    found: dict[str, list[str]] = {}
    stop = threading.Event()

    def meddle() -> None:
        while not stop.is_set():
            for member in ("a", "c"):
                backend.load([member])
                with suppress(GenerationError):  # it is answering just now
                    backend.unload(member)

    def session(i: int) -> None:
        prompt = f"Question {i}?"
        ticket = host.queue.submit(f"s{i}", backend, [prompt], members, settings)
        assert ticket.wait(60)
        found[prompt] = (
            [row.text for row in ticket.rows]
            if ticket.state == "done"
            else [ticket.state, ticket.error]
        )

    threads = [threading.Thread(target=session, args=(i,)) for i in range(20)]
    meddler = threading.Thread(target=meddle)
    meddler.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    stop.set()
    meddler.join(10)
    assert found == expected


def test_options_default_to_no_download() -> None:
    assert LoadOptions().download is False


def with_remote(bundle: Bundle, url: str) -> Bundle:
    """The bundle, whose policy `short` answers on a server."""
    candidates = tuple(
        c.model_copy(update={"kind": "remote", "served": f"big at {url}"})
        if c.policy == "short"
        else c
        for c in bundle.manifest.candidates
    )
    return Bundle(bundle.folder, bundle.manifest.model_copy(update={"candidates": candidates}))


def test_served_policies_answer_beside_the_loaded_ones_where_that_is_allowed(
    local_base: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ModelHost()
    with fake_server(["big"]) as (url, asked):
        bundle = with_remote(local_base, url)
        host.load(bundle, ["a"])
        try:
            backend, notices = host.answering(bundle)
            assert "short" not in backend.policies
            assert "PALM_SERVERS" in notices[0]
            assert asked == [], "a server that only a bundle names is never asked"

            monkeypatch.setenv("PALM_SERVERS", f"http://localhost:1/v1, {url}/#OUR_KEY")
            monkeypatch.setenv("OUR_KEY", "ours")
            backend, notices = host.answering(bundle)
            assert notices == []
            assert host.answering(bundle)[0].policies == backend.policies
            ticket = host.queue.submit(
                "me", backend, ["Hello?"], ["a", "short", "base"], live_settings(bundle)
            )
            assert ticket.wait(20)
            assert ticket.state == "done"
            answers = {row.policy: row.text for row in ticket.rows}
            assert answers["short"].startswith("big")
            assert {body["key"] for body in asked} == {"ours"}
            alone = host.queue.submit(
                "me", host.backend(bundle), ["Hello?"], ["base", "a"], live_settings(bundle)
            )
            assert alone.wait(20)
            assert {r.policy: r.text for r in alone.rows} == {
                p: answers[p] for p in ("base", "a")
            }, "whose else answers changes nothing"
        finally:
            host.unload()


def test_served_policies_answer_without_a_loaded_model(
    local_base: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ModelHost()
    with fake_server(["big"]) as (url, _):
        bundle = with_remote(local_base, url)
        with pytest.raises(GenerationError, match="isn't loaded"):
            host.answering(bundle)
        monkeypatch.setenv("PALM_SERVERS", url)
        assert host.on_servers(bundle) == (("short",), [])
        backend, _ = host.answering(bundle)
        assert backend.policies == ("short",)
        ticket = host.queue.submit("me", backend, ["Hello?"], ["short"], live_settings(bundle))
        host.load(bundle, ["a"])
        try:
            assert ticket.wait(20)
            assert ticket.state == "done", "a load in between changes nothing"
            assert ticket.rows[0].text.startswith("big")
            assert set(host.answering(bundle)[0].policies) == {"base", "a", "b", "c", "short"}
        finally:
            host.unload()


def test_a_server_that_is_gone_is_a_sentence_and_the_others_answer(
    local_base: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALM_SERVERS", "http://127.0.0.1:9/v1")
    bundle = with_remote(local_base, "http://127.0.0.1:9/v1")
    host = ModelHost()
    host.load(bundle, ["a"])
    try:
        backend, notices = host.answering(bundle)
        assert "127.0.0.1:9" in notices[0]
        assert set(backend.policies) == {"base", "a", "b", "c"}
    finally:
        host.unload()


def test_other_options_load_the_base_again_and_the_same_do_not(local_base: Bundle) -> None:
    host = ModelHost()
    host.load(local_base, ["a"], LoadOptions(dtype="float32"))
    try:
        first = host.generation
        host.load(local_base, ["b"])
        host.load(local_base, ["b"], LoadOptions(dtype="float32"))
        host.load(local_base, ["b"], LoadOptions(device="cpu"))
        assert host.generation == first, "what was asked is what is there"
        host.load(local_base, ["b"], LoadOptions(dtype="bfloat16"))
        info = host.info()
        assert info is not None
        assert info.dtype == "bfloat16"
        assert host.generation > first
    finally:
        host.unload()
