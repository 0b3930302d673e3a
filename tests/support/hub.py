"""A small Hugging Face hub on this machine, with one repository."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": b"weights, as far as the hub is concerned",
    "pytorch_model.bin": b"a pickle, never to be fetched",
    "modeling.py": b"code, never to be fetched",
}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a snapshot needs; files of one repository."""

    repo = "acme/tiny"
    files = FILES
    asked: list[str]

    def log_message(self, *_: Any) -> None: ...

    @property
    def commit(self) -> str:
        """Of what the repository holds now."""
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{self.repo}/tree/"):
            tree = [
                {"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                for n, c in self.files.items()
            ]
            return self.reply(json.dumps(tree).encode())
        if path.startswith(f"/api/models/{self.repo}"):
            siblings = [{"rfilename": n, "size": len(c)} for n, c in self.files.items()]
            content = {"id": self.repo, "sha": self.commit, "siblings": siblings, "tags": []}
            return self.reply(json.dumps(content).encode())
        inside = path.partition(f"/{self.repo}/resolve/{self.commit}/")[2]
        if inside in self.files:
            return self.reply(self.files[inside])
        self.missing()
        return None

    def missing(self) -> None:
        """There is no such thing."""
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def reply(self, body: bytes) -> None:
        """Here it is; without its body to a question about it."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class WritableHub(Hub):
    """As much of the hub as an upload needs besides; `me/mine`."""

    repo = "me/mine"
    made: list[dict[str, Any]]

    @property
    def address(self) -> str:
        """Of the repository."""
        return f"http://{self.headers['Host']}/{self.repo}"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            self.made.append(json.loads(body))
            return self.reply(json.dumps({"url": self.address, "name": "me/mine"}).encode())
        if self.path == "/api/validate-yaml":
            assert json.loads(body)["content"].startswith("---")
            return self.reply(b'{"errors": [], "warnings": []}')
        if "/me/mine/preupload/" in self.path:
            files = json.loads(body)["files"]
            answer = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files
            ]
            return self.reply(json.dumps({"files": answer}).encode())
        if "/me/mine/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.files[entry["value"]["path"]] = content
            done = {"commitUrl": f"{self.address}/commit/{self.commit}", "commitOid": self.commit}
            return self.reply(json.dumps(done | {"success": True}).encode())
        self.missing()
        return None


@contextmanager
def serving(
    handler: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[Hub]]:
    """The hub that huggingface_hub asks, with a cache of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield handler
    server.shutdown()
    thread.join(5)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub with FILES."""
    handler = type("One", (Hub,), {"asked": [], "files": dict(FILES)})
    with serving(handler, tmp_path, monkeypatch) as hub:
        yield hub
