"""Bundles go to a hub of our own on this machine and come back as they were."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.cli.main import app
from palm_engine.pipeline.sharing import model_card
from tests.support.fakes import tiny_bundle

pytest.importorskip("huggingface_hub")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as an upload and a snapshot need; files of one repository, `me/mine`."""

    files: dict[str, bytes]
    made: list[dict[str, Any]]

    def log_message(self, *_: Any) -> None: ...

    @property
    def commit(self) -> str:
        """Of what the repository holds now."""
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()

    @property
    def address(self) -> str:
        """Of the repository."""
        return f"http://{self.headers['Host']}/me/mine"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/me/mine/tree/"):
            tree = [
                {"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                for n, c in self.files.items()
            ]
            return self.reply(json.dumps(tree).encode())
        if path.startswith("/api/models/me/mine"):
            siblings = [{"rfilename": n} for n in self.files]
            content = {"id": "me/mine", "sha": self.commit, "siblings": siblings, "tags": []}
            return self.reply(json.dumps(content).encode())
        inside = path.partition(f"/me/mine/resolve/{self.commit}/")[2]
        if inside in self.files:
            return self.reply(self.files[inside])
        self.missing()
        return None

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

    def missing(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    handler = type("One", (Hub,), {"files": {}, "made": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield handler
    server.shutdown()
    thread.join(5)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    made = tiny_bundle(tmp_path / "portfolios" / "tiny")
    (made.folder / "notes.txt").write_text("mine alone")
    return made


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    return done.exit_code, done.output + (str(done.exception) if done.exception else "")


def test_a_bundle_comes_back_as_it_was(hub: type[Hub], bundle: Bundle, tmp_path: Path) -> None:
    code, output = run("push", bundle.folder, "me/mine")
    assert code == 0, output
    assert hub.made[0]["visibility"] == "private", hub.made
    assert "notes.txt" not in hub.files
    assert hub.files["README.md"].decode().startswith("---\nlibrary_name: peft")
    hub.files["run_me.py"] = b"code, never to be fetched"
    out = tmp_path / "again" / "tiny"
    code, output = run("pull", "me/mine", "--out", out)
    assert code == 0, output
    again = read_bundle(out)
    assert again.manifest == bundle.manifest
    assert again.samples.equals(bundle.samples)
    for policy in ("a", "b", "c"):
        inside = f"adapters/{policy}/adapter_model.safetensors"
        assert (out / inside).read_bytes() == (bundle.folder / inside).read_bytes()
    assert not (out / "run_me.py").exists()
    assert not (out / "README.md").exists()
    code, output = run("pull", "me/mine", "--out", out)
    assert code != 0
    assert "would be deleted" in output.replace("\n", " ")


def test_what_is_no_bundle_leaves_nothing(hub: type[Hub], tmp_path: Path) -> None:
    for files, why in (
        ({"config.json": b"{}"}, "holds no portfolio.json"),
        ({"portfolio.json": b"{"}, "not valid JSON"),
        ({"portfolio.json": b'{"name": "x"}'}, "traits"),
    ):
        hub.files.clear()
        hub.files.update(files)
        code, output = run("pull", "me/mine", "--out", tmp_path / "x")
        assert code != 0
        assert why in output.replace("\n", " "), output
        assert not (tmp_path / "x").exists()
    code, output = run("pull", "me/other", "--out", tmp_path / "x")
    assert code != 0
    assert "me/other: could not be pulled" in output.replace("\n", " ")
    code, output = run("push", tmp_path, "mine")
    assert code != 0


def test_the_card_says_what_the_certificate_says_and_texts_stay_texts(bundle: Bundle) -> None:
    odd = bundle.manifest.model_copy(update={"title": "<b>![x](http://evil)</b> | #1"})
    card = model_card(Bundle(bundle.folder, odd), "me/mine")
    assert "![x](" not in card
    assert "<b>" not in card
    assert "palm pull me/mine" in card
    assert "| a | adapter | safety 1.00" in card
    assert "**Promise.**" in card
    code, output = run("push", bundle.folder, "me/mine", "--card")
    assert code == 0
    assert "library_name: peft" in output
