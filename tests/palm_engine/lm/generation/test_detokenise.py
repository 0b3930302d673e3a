"""Text comes in whole characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import ByteTokenizer, tiny_base

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


@pytest.mark.parametrize(
    "text", ["  héé 😀 end  ", "a\n\n b", "", "   ", "x", "日本語 text", "half: 😀"]
)
def test_a_fast_tokenizer_streams_what_it_decodes_as_a_whole(tmp_path: Path, text: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base(tmp_path / "base"))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    for end in range(len(ids) + 1):
        stream = TextStream(tokenizer)
        pieces = [stream.add(token) for token in ids[:end]]
        assert all("\ufffd" not in piece for piece in pieces)
        whole = tokenizer.decode(ids[:end], skip_special_tokens=True).strip()
        assert "".join([*pieces, stream.rest()]) == whole


def test_no_token_decodes_the_answer_anew(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base(tmp_path / "base"))
    ids = tokenizer("a long answer " * 20, add_special_tokens=False)["input_ids"]
    tokenizer.decode = lambda *_, **__: pytest.fail("the whole answer was decoded")
    stream = TextStream(tokenizer)
    pieces = [stream.add(token) for token in ids]
    assert "".join(pieces) == ("a long answer " * 20).strip()
