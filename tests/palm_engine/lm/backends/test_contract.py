"""What every backend does, whatever it answers from; run on the recorded, the local and the remote one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fakes import fake_server, tiny_bundle, tiny_local

from palm_engine.bundle import Bundle
from palm_engine.errors import InvalidInputError
from palm_engine.lm.backends.base import LiveSettings, Piece, live_settings
from palm_engine.lm.backends.recorded import RecordedBackend

pytest.importorskip("torch")
pytest.importorskip("openai")

PROMPTS = ["Hello there?", "What now?"]
MEMBERS = ["a", "c", "base", "short"]
BACKENDS = ("recorded", "local", "remote")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("portfolios") / "tiny")


@pytest.fixture(scope="module")
def backends(bundle: Bundle) -> Iterator[dict[str, Any]]:
    from palm_engine.lm.backends.remote import RemoteBackend

    with fake_server(["a", "b", "c", "base"]) as (url, _):
        yield {
            "recorded": RecordedBackend(bundle), "local": tiny_local(bundle), "remote": RemoteBackend(bundle, url),
        }  # fmt: skip


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, backends: dict[str, Any]) -> Any:
    return backends[request.param]


def rows_of(pieces: list[Piece], count: int) -> list[list[Piece]]:
    rows: list[list[Piece]] = [[] for _ in range(count)]
    for piece in pieces:
        rows[piece.row].append(piece)
    return rows


def texts(backend: Any, prompts: list[str], members: list[str], settings: LiveSettings) -> dict[tuple[str, str], str]:
    rows = rows_of(list(backend.stream(prompts, members, settings)), len(prompts) * len(members))
    asked = [(m, p) for m in members for p in prompts]
    return {key: "".join(p.text for p in row) for key, row in zip(asked, rows, strict=True)}


def test_every_row_ends_once_and_last(backend: Any, bundle: Bundle) -> None:
    pieces = list(backend.stream(PROMPTS, MEMBERS, live_settings(bundle)))
    for row in rows_of(pieces, len(PROMPTS) * len(MEMBERS)):
        assert [p.done for p in row] == [False] * (len(row) - 1) + [True]
        assert sum(p.tokens for p in row) <= live_settings(bundle).max_new_tokens
        text = "".join(p.text for p in row)
        assert text == text.strip()


def test_a_piece_unpacks_as_row_text_done(backend: Any, bundle: Bundle) -> None:
    row, text, done, *_ = next(iter(backend.stream(PROMPTS[:1], ["a"], live_settings(bundle))))
    assert row == 0
    assert isinstance(text, str)
    assert isinstance(done, bool)


def test_members_answer_differently_and_the_same_twice(backend: Any, bundle: Bundle) -> None:
    first = texts(backend, PROMPTS, ["a", "b", "c"], live_settings(bundle, seed=4))
    assert first == texts(backend, PROMPTS, ["a", "b", "c"], live_settings(bundle, seed=4))
    assert len(set(first.values())) == 6


def test_adding_a_member_changes_nobody_elses_text(backend: Any, bundle: Bundle) -> None:
    settings = live_settings(bundle, seed=2)
    few = texts(backend, PROMPTS[:1], ["c", "base"], settings)
    many = texts(backend, PROMPTS, ["a", "base", "b", "c", "short"], settings)
    assert all(many[key] == text for key, text in few.items())


def test_the_limit_on_new_tokens_holds(backend: Any, bundle: Bundle) -> None:
    for most in (1, 3):
        pieces = list(backend.stream(PROMPTS[:1], ["a", "b"], live_settings(bundle, max_new_tokens=most)))
        assert all(0 < sum(p.tokens for p in row) <= most for row in rows_of(pieces, 2))


def test_stopping_at_every_step_leaves_nothing_behind(backend: Any, bundle: Bundle) -> None:
    settings = live_settings(bundle, seed=1)
    whole = texts(backend, PROMPTS[:1], ["a", "c"], settings)
    count = len(list(backend.stream(PROMPTS[:1], ["a", "c"], settings)))
    for stop in range(count + 1):
        stream = backend.stream(PROMPTS[:1], ["a", "c"], settings)
        for _ in range(stop):
            next(stream)
        stream.close()
        assert texts(backend, PROMPTS[:1], ["a", "c"], settings) == whole


@pytest.mark.parametrize(
    ("prompts", "members", "message"),
    [
        (["Hello there?"], ["nobody"], "nobody"),
        (["Hello there?"], [], "at least one"),
        ([], ["a"], "at least one"),
        (["  "], ["a"], "empty"),
        (["Hello there?"], ["a", "a"], "twice"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(
    backend: Any, bundle: Bundle, prompts: list[str], members: list[str], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        backend.stream(prompts, members, live_settings(bundle))


@pytest.mark.parametrize(
    "changes", [{"max_new_tokens": 0}, {"temperature": -1}, {"top_p": 0}, {"top_k": 0}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(bundle: Bundle, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(changes))):
        live_settings(bundle, **changes)
