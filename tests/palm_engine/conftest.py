"""The tiny bundle, alone and on a base in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from palm_engine.bundle.folder import Bundle
from tests.support.fakes import ByteTokenizer, on_base, tiny_bundle, tiny_llama


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "portfolios" / "tiny")


@pytest.fixture
def local_base(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bundle:
    """The bundle with its base as a real folder of safetensors."""
    folder = tmp_path / "base"
    model = tiny_llama()
    model.save_pretrained(folder)
    monkeypatch.setattr("palm_engine.lm.base_model.load.load_tokenizer", lambda *_: ByteTokenizer())
    return on_base(bundle, folder)
