"""Loading members: the host, its checks, memory estimates, and that nothing is fetched without
being asked for.
"""

from __future__ import annotations

import json
import threading
import weakref
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import ByteTokenizer, tiny_bundle, tiny_llama, tiny_local

torch = pytest.importorskip("torch")

from palm_engine.bundle.folder import Bundle
from palm_engine.errors import GenerationError, InvalidInputError, ModelSourceError
from palm_engine.lm import devices, memory
from palm_engine.lm.base_model import places, source
from palm_engine.lm.generation.detokenise import TextStream
from palm_engine.serving.backends.interface import live_settings
from palm_engine.serving.host import LoadOptions, ModelHost
from palm_engine.serving.selfcheck import self_check
from palm_engine.serving.ticket import Limits


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "portfolios" / "tiny")


@pytest.fixture
def local_base(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bundle:
    """The bundle with its base as a real folder of safetensors."""
    folder = tmp_path / "base"
    model = tiny_llama()
    model.save_pretrained(folder)
    monkeypatch.setattr(
        "palm_engine.lm.base_model.load.load_tokenizer", lambda folder: ByteTokenizer()
    )
    manifest = bundle.manifest.model_copy(
        update={
            "base": bundle.manifest.base.model_copy(  # type: ignore[union-attr]
                update={"source": str(folder), "fingerprint": places.fingerprint(folder)}
            )
        }
    )
    return Bundle(bundle.folder, manifest)


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
        host.queue  # noqa: B018


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


def test_a_wrong_base_is_told_and_equal_members_are_named(bundle: Bundle) -> None:
    backend = tiny_local(bundle)
    assert self_check(backend, ["a", "b", "c"]).warnings == ()
    object.__setattr__(backend.model.base, "fingerprint", "0" * 64)
    assert "fingerprint" in self_check(backend, ["a"]).warnings[0]
    object.__setattr__(backend.model.base, "fingerprint", "f" * 64)
    with torch.inference_mode():
        for layer in backend.model.stack._layers.values():
            for part in layer.group.parts:
                part.up.zero_()
    assert any("a and b answer alike" in w for w in self_check(backend, ["a", "b"]).warnings)


def test_too_little_memory_is_refused_with_what_would_fit(
    local_base: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 100_000)
    with pytest.raises(ModelSourceError, match=r"(?s)free\. What would fit"):
        ModelHost().load(local_base, ["a"])
    config = {
        "num_hidden_layers": 10,
        "num_key_value_heads": 2,
        "num_attention_heads": 4,
        "hidden_size": 64,
    }
    needed = memory.estimate(1_000_000, "float32", 10_000, config, 6, 100, 4_000_000)
    assert needed.weights == 4_000_000
    assert needed.cache == 2 * 10 * 2 * 16 * 6 * 100 * 4
    with pytest.raises(ModelSourceError, match="bfloat16"):
        memory.require_fits(needed, "float32", "cpu", 6)
    wide = memory.estimate(1_000_000, "bfloat16", 0, config, 6, 4000, 26_000_000)
    with pytest.raises(ModelSourceError, match="4 adapters at a time"):
        memory.require_fits(wide, "bfloat16", "cpu", 6)
    memory.require_fits(memory.estimate(10, "float32", 0, config, 1, 1, None), "float32", "cpu", 1)


def test_the_estimate_counts_the_parameters_of_the_folder(local_base: Bundle) -> None:
    name = local_base.manifest.base.source  # type: ignore[union-attr]
    # The output layer of this model isn't tied to the embeddings.
    expected = sum(p.numel() for p in tiny_llama().parameters())
    assert source.parameter_count(name) == expected
    # The same weights once more, as some repositories have them.
    (Path(name) / "consolidated.safetensors").write_bytes(
        (Path(name) / "model.safetensors").read_bytes()
    )
    assert source.parameter_count(name) == expected


def test_nothing_is_fetched_without_being_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("subprocess.run", lambda *a, **k: pytest.fail("something was fetched"))
    with pytest.raises(ModelSourceError, match=r"PyPI.*93 MB"):
        source.resolve_base(places.DEMO_BASE, lambda _: None, download=False)
    # A hub model in the cache is used as it is: nobody is asked for a newer revision.
    cached = tmp_path / "cached"
    monkeypatch.setattr("palm_engine.lm.base_model.hub.cached_folder", lambda source: cached)
    monkeypatch.setattr(
        "palm_engine.lm.base_model.hub.resolve", lambda *_: pytest.fail("the hub was asked")
    )
    assert source.resolve_base("some/model", lambda _: None, download=False) == cached


def test_an_unknown_hub_model_is_described_by_source_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            asked.append(self.path)
            files = [
                {"rfilename": "model.safetensors", "size": 270_000_000},
                {"rfilename": "x.bin", "size": 9**9},
            ]
            body = json.dumps(
                {
                    "id": "some/model",
                    "_id": "1",
                    "modelId": "some/model",
                    "private": False,
                    "downloads": 0,
                    "likes": 0,
                    "tags": [],
                    "siblings": files,
                    "sha": "0" * 40,
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("palm_engine.lm.base_model.hub.cached_folder", lambda source: None)
    try:
        with pytest.raises(
            ModelSourceError, match=r"some/model \(270 MB\).*only fetched when you say so"
        ):
            source.resolve_base("some/model", lambda _: None, download=False)
    finally:
        server.shutdown()
    assert asked
    assert all("resolve" not in path for path in asked)


@pytest.mark.parametrize(("variable", "value"), [("PALM_THREADS", "none"), ("PALM_DEVICE", "tpu")])
def test_settings_that_make_no_sense_are_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidInputError, match=variable):
        devices.default_threads() if variable == "PALM_THREADS" else devices.pick_device()


def test_builds_use_fp32_on_every_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PALM_DTYPE", raising=False)
    assert devices.build_dtype("cpu") == "float32"
    assert devices.build_dtype("cuda") == "auto"
    monkeypatch.setenv("PALM_DTYPE", "bfloat16")
    assert devices.pick_dtype("cpu", devices.build_dtype("cpu")) is torch.bfloat16


def test_text_comes_in_whole_characters_and_without_outer_space() -> None:
    class Utf8(ByteTokenizer):
        def decode(self, ids: Any, **_: Any) -> str:
            return bytes(ids).decode("utf-8", errors="replace")

    text = "  héé 😀 end  "
    stream = TextStream(Utf8())
    pieces = [stream.add(token) for token in text.encode()] + [stream.rest()]
    assert "".join(pieces) == text.strip()
    assert "\ufffd" not in "".join(pieces)


def test_options_default_to_no_download() -> None:
    assert LoadOptions().download is False
