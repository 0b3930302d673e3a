"""Text comes in whole characters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fakes import ByteTokenizer

torch = pytest.importorskip("torch")
from palm_engine.lm.generation.detokenise import TextStream


def test_text_comes_in_whole_characters_and_without_outer_space() -> None:
    class Utf8(ByteTokenizer):
        def decode(self, ids: Any, **_: Any) -> str:
            return bytes(ids).decode("utf-8", errors="replace")

    text = "  héé 😀 end  "
    stream = TextStream(Utf8())
    pieces = [stream.add(token) for token in text.encode()] + [stream.rest()]
    assert "".join(pieces) == text.strip()
    assert "\ufffd" not in "".join(pieces)
