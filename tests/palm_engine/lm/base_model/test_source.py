"""Fetching the base model: whatever goes wrong, nothing is left behind and the message says what to
do.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from palm_engine.errors import ModelSourceError
from palm_engine.lm.adapters.files import check_adapter_folder
from palm_engine.lm.base_model import places, source
from tests.support.fakes import tiny_llama

torch = pytest.importorskip("torch")
from palm_engine.bundle.folder import Bundle


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PALM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_sources_that_are_nothing_are_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelSourceError, match="not a local folder"):
        source.resolve_base("no-such-model", lambda _: None)
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelSourceError, match="no pickle"):
        source.resolve_base(str(tmp_path / "pickled"), lambda _: None)
    with pytest.raises(ModelSourceError, match=r"adapter_config\.json"):
        check_adapter_folder(tmp_path / "pickled")


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
