"""The fingerprint of a base follows its weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from palm_engine.lm.base_model import places

torch = pytest.importorskip("torch")


def test_the_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"one")
    first = places.fingerprint(tmp_path)
    assert places.fingerprint(tmp_path) == first
    (tmp_path / "model.safetensors").write_bytes(b"other")
    assert places.fingerprint(tmp_path) != first
