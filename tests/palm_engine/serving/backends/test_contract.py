"""What every backend does, whatever it answers from.

Recorded, local (tiny, and the demo), remote.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.errors import InvalidInputError
from palm_engine.serving.backends.interface import LiveSettings, Piece, live_settings
from palm_engine.serving.backends.joined import JoinedBackend
from palm_engine.serving.backends.recorded import RecordedBackend
from tests.support.fakes import fake_server, tiny_bundle, tiny_local

pytest.importorskip("torch")
pytest.importorskip("openai")

BACKENDS = ("recorded", "local", "remote", "joined")
ROOT = Path(__file__).resolve().parents[4]


@dataclass(frozen=True)
class Case:
    """A backend to test, its bundle, three adapters and two other policies, and two prompts that it
    can answer.
    """

    backend: Any
    bundle: Bundle
    adapters: tuple[str, str, str]
    others: tuple[str, str]
    prompts: tuple[str, str]

    def settings(self, **changes: float) -> LiveSettings:
        return live_settings(
            self.bundle, max_new_tokens=int(changes.pop("max_new_tokens", 12)), **changes
        )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("portfolios") / "tiny")


@pytest.fixture(scope="module")
def cases(bundle: Bundle) -> Iterator[dict[str, Case]]:
    from palm_engine.serving.backends.remote import RemoteBackend

    with fake_server(["a", "b", "c", "base"]) as (url, _):
        made = {
            "recorded": RecordedBackend(bundle),
            "local": tiny_local(bundle),
            "remote": RemoteBackend(bundle, url),
            "joined": JoinedBackend(
                [
                    RemoteBackend(bundle, url, {"b": "b", "short": "base"}),
                    tiny_local(bundle),
                ]
            ),
        }
        yield {
            name: Case(
                backend, bundle, ("a", "b", "c"), ("base", "short"), ("Hello there?", "What now?")
            )
            for name, backend in made.items()
        }


@pytest.fixture(scope="module")
def demo_case() -> Case:
    """The demo's real model in fp32, where a row's text doesn't depend on the batch's rounding."""
    from palm_engine.lm.base_model.load import load_base
    from palm_engine.serving.backends.local import LocalBackend, LocalModel

    demo = read_bundle(ROOT / "portfolios" / "demo")
    assert demo.manifest.base is not None
    model = LocalModel.of(load_base(demo.manifest.base.source, lambda _: None, "float32"))
    first, second, third, *_ = (demo.policies[i] for i in demo.members)
    prompts = ("Can I heat my flat with the oven?", "Tell me about cats.")
    return Case(LocalBackend(model, demo), demo, (first, second, third), ("base", "brief"), prompts)


@pytest.fixture(params=[*BACKENDS, pytest.param("demo", marks=pytest.mark.slow)])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "demo":
        return request.getfixturevalue("demo_case")  # type: ignore[no-any-return]
    return request.getfixturevalue("cases")[request.param]  # type: ignore[no-any-return]


def rows_of(pieces: list[Piece], count: int) -> list[list[Piece]]:
    rows: list[list[Piece]] = [[] for _ in range(count)]
    for piece in pieces:
        rows[piece.row].append(piece)
    return rows


def texts(
    case: Case, prompts: Sequence[str], members: Sequence[str], settings: LiveSettings
) -> dict[Any, str]:
    rows = rows_of(
        list(case.backend.stream(prompts, members, settings)), len(prompts) * len(members)
    )
    asked = [(m, p) for m in members for p in prompts]
    return {key: "".join(p.text for p in row) for key, row in zip(asked, rows, strict=True)}


def test_every_row_ends_once_and_last(case: Case) -> None:
    members = [*case.adapters[:2], *case.others]
    pieces = list(case.backend.stream(case.prompts, members, case.settings()))
    for row in rows_of(pieces, len(case.prompts) * len(members)):
        assert [p.done for p in row] == [False] * (len(row) - 1) + [True]
        assert sum(p.tokens for p in row) <= 12
        text = "".join(p.text for p in row)
        assert text == text.strip()


def test_a_piece_unpacks_as_row_text_done(case: Case) -> None:
    row, text, done, *_ = next(
        iter(case.backend.stream(case.prompts[:1], case.adapters[:1], case.settings()))
    )
    assert row == 0
    assert isinstance(text, str)
    assert isinstance(done, bool)


def test_members_answer_differently_and_the_same_twice(case: Case) -> None:
    first = texts(case, case.prompts, case.adapters, case.settings(seed=4))
    assert first == texts(case, case.prompts, case.adapters, case.settings(seed=4))
    assert len(set(first.values())) >= 5


def test_adding_a_member_changes_nobody_elses_text(case: Case) -> None:
    settings = case.settings(seed=2)
    a, b, c = case.adapters
    base, prompted = case.others
    few = texts(case, case.prompts[:1], [c, base], settings)
    many = texts(case, case.prompts, [a, base, b, c, prompted], settings)
    assert all(many[key] == text for key, text in few.items())


def test_the_limit_on_new_tokens_holds(case: Case) -> None:
    for most in (1, 3):
        settings = case.settings(max_new_tokens=most)
        pieces = list(case.backend.stream(case.prompts[:1], case.adapters[:2], settings))
        assert all(0 < sum(p.tokens for p in row) <= most for row in rows_of(pieces, 2))


def test_stopping_at_every_step_leaves_nothing_behind(case: Case) -> None:
    settings = case.settings(seed=1, max_new_tokens=8)
    asked = (case.prompts[:1], case.adapters[::2])
    whole = texts(case, *asked, settings)
    count = len(list(case.backend.stream(*asked, settings)))
    for stop in range(count + 1):
        stream = case.backend.stream(*asked, settings)
        for _ in range(stop):
            next(stream)
        stream.close()
        assert texts(case, *asked, settings) == whole


@pytest.mark.parametrize(
    ("prompts", "members", "message"),
    [
        (["Hello there?"], ["nobody"], "nobody"),
        (["Hello there?"], [], "at least one"),
        ([], ["base"], "at least one"),
        (["  "], ["base"], "empty"),
        (["Hello there?"], ["base", "base"], "twice"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(
    case: Case, prompts: list[str], members: list[str], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        case.backend.stream(prompts, members, case.settings())


@pytest.mark.parametrize(
    "changes",
    [{"max_new_tokens": 0}, {"temperature": -1}, {"top_p": 0}, {"top_k": 0}, {"seed": -1}],
)
def test_settings_out_of_range_are_refused(bundle: Bundle, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(changes))):
        live_settings(bundle, **changes)


@pytest.mark.slow
def test_greedy_tokens_in_fp32_are_those_of_peft_one_by_one(demo_case: Case) -> None:
    """All 24 prompts are in `make bench`; two are enough to see a stack that went wrong."""
    import torch
    from peft import PeftModel

    from palm_engine.lm.base_model.load import load_base
    from palm_engine.lm.generation.conversation import conversation_ids

    backend = demo_case.backend
    settings = demo_case.settings(temperature=0, repetition_penalty=1.0, max_new_tokens=16)
    found = texts(demo_case, demo_case.prompts, demo_case.adapters, settings)
    for member in demo_case.adapters:
        model = load_base(backend.model.base.source, lambda _: None, "float32").model
        alone = PeftModel.from_pretrained(
            model, str(demo_case.bundle.adapter_folder(member))
        ).eval()
        for prompt in demo_case.prompts:
            tokenizer = backend.model.base.tokenizer
            ids = torch.tensor([conversation_ids(tokenizer, "", prompt)])
            with torch.inference_mode():
                out = alone.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=16,
                    do_sample=False,
                    repetition_penalty=1.0,
                    pad_token_id=tokenizer.pad_token_id,
                )
            text = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()
            assert found[member, prompt] == text
