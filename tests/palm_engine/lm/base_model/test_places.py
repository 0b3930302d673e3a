"""The fingerprint of a base follows its weights."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, '{"sha256": "x"}', "\x00", None])
def test_what_is_kept_beside_weights_is_no_fingerprint_unless_it_is_theirs(
    tmp_path: Path, content: str | None
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"one")
    first = places.fingerprint(tmp_path)
    kept = tmp_path / "fingerprint.json"
    forged = json.dumps(json.loads(kept.read_text()) | {"stamp": [], "sha256": "0" * 64})
    kept.write_text(forged if content is None else content)
    assert places.fingerprint(tmp_path) == first
