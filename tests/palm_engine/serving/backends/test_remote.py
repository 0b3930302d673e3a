"""What a server doesn't take is never changed in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from palm_engine.errors import GenerationError
from palm_engine.serving.backends.interface import live_settings
from palm_engine.serving.backends.remote import RemoteBackend
from tests.support.fakes import fake_server, tiny_bundle

pytest.importorskip("openai")


@pytest.mark.parametrize("refused", ["top_k", "context"])
def test_settings_are_left_out_only_where_they_were_refused(tmp_path: Path, refused: str) -> None:
    def refuse(body: dict[str, Any]) -> str | None:
        if refused == "top_k":
            return "unknown parameter: top_k" if "top_k" in body else None
        return "the context is too long"

    bundle = tiny_bundle(tmp_path / "tiny")
    with fake_server(["a"], refuse=refuse) as (url, asked):
        backend = RemoteBackend(bundle, url)
        stream = backend.stream(["Hello?"], ["a"], live_settings(bundle))
        if refused == "context":
            with pytest.raises(GenerationError, match="too long"):
                list(stream)
            assert len(asked) == 1, "nothing is asked again under other settings"
            assert not backend.notice
            return
        assert "answers Hello?" in "".join(piece.text for piece in stream)
        assert "top_k" in backend.notice
        assert len(asked) == 2


@pytest.mark.parametrize(
    ("finish", "tokens", "notice"),
    [(None, 4, ""), ("stop", 4, ""), ("length", 5, ""), ("content_filter", 5, "content_filter")],
)
def test_why_an_answer_ended_is_what_the_server_says(
    tmp_path: Path, finish: str | None, tokens: int, notice: str
) -> None:
    bundle = tiny_bundle(tmp_path / "tiny")
    with fake_server(["a"], finish=finish) as (url, _):
        backend = RemoteBackend(bundle, url)
        # Four words; the server counts one more, its end token.
        pieces = list(backend.stream(["Hello?"], ["a"], live_settings(bundle)))
    assert sum(p.tokens for p in pieces) == tokens
    assert notice in backend.notice
    assert bool(backend.notice) == bool(notice)
