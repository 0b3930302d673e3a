"""A small Hugging Face hub on this machine, with one repository: `acme/tiny`."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMIT = "a" * 40
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": b"weights, as far as the hub is concerned",
    "pytorch_model.bin": b"a pickle, never to be fetched",
    "modeling.py": b"code, never to be fetched",
}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a snapshot needs."""

    files = FILES
    asked: list[str]

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/api/models/acme/tiny/tree/"):
            tree = [
                {"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                for n, c in self.files.items()
            ]
            self.reply(json.dumps(tree).encode())
            return
        if self.path.startswith("/api/models/acme/tiny"):
            siblings = [{"rfilename": n, "size": len(c)} for n, c in self.files.items()]
            content = {"id": "acme/tiny", "sha": COMMIT, "siblings": siblings, "tags": []}
            self.reply(json.dumps(content).encode())
            return
        name = self.path.rsplit("/", 1)[-1]
        if self.path.startswith("/acme/tiny/resolve/") and name in self.files:
            self.reply(self.files[name])
            return
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    handler = type("One", (Hub,), {"asked": [], "files": dict(FILES)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield handler
    server.shutdown()
    thread.join(5)
