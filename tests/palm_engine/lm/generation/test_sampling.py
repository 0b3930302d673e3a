"""Generation logic on a fake model with a byte tokenizer: no weights needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import (
    ARCHITECTURES,
    ByteTokenizer,
    TurnTokenizer,
    tiny_llama,
    tiny_model,
    write_adapter,
)

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from palm_engine.lm.generation.conversation import Request, conversation_ids
from palm_engine.lm.generation.sampling import (
    Mixture,
    sample_answers,
    stream_tokens,
)
from palm_engine.lm.settings import SamplingSettings


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_llama()


SETTINGS = SamplingSettings(max_new_tokens=12, temperature=1.0, top_p=0.9, repetition_penalty=1.2)
REQUESTS = [
    Request(None, "hello", (1, 0)),
    Request("be brief", "a much longer prompt", (1, 1)),
    Request(None, "x", (2,)),
]


def texts(model: Any, requests: list[Request], **changes: Any) -> list[str]:
    settings = SETTINGS.model_copy(update=changes)
    return [
        a.text for a in sample_answers(model, ByteTokenizer(), requests, settings, batch_size=16)
    ]


def test_a_row_draws_the_same_whatever_shares_its_batch(model: Any) -> None:
    together = texts(model, REQUESTS)
    assert together == [texts(model, [r])[0] for r in REQUESTS]
    assert together == texts(model, REQUESTS[::-1])[::-1]


def test_the_token_that_ended_an_answer_is_kept(model: Any) -> None:
    requests = [Request(None, "hello", (s,)) for s in range(300)]
    settings = SETTINGS.model_copy(update={"temperature": 3.0, "top_p": 1.0, "top_k": 256})
    answers = sample_answers(model, TurnTokenizer(), requests, settings, batch_size=100)
    ends = {a.end for a in answers}
    assert ends == {None, 1, 5}
    for answer in answers:
        assert not {1, 5} & set(answer.token_ids)
        assert (answer.end is None) == (len(answer.token_ids) == 12)


def test_seeds_and_temperature_matter(model: Any) -> None:
    first = texts(model, [Request(None, "hello", (s,)) for s in range(6)])
    assert len(set(first)) > 1
    greedy = texts(model, [Request(None, "hello", (s,)) for s in range(3)], temperature=0)
    assert len(set(greedy)) == 1


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "Gemma3"])
def test_greedy_equals_transformers_generate(architecture: str) -> None:
    model = tiny_model(architecture)
    tokenizer = ByteTokenizer()
    ids = torch.tensor([conversation_ids(tokenizer, None, "hello")])
    with torch.no_grad():
        whole = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=12,
            do_sample=False,
            repetition_penalty=1.0,
            eos_token_id=1,
            pad_token_id=0,
        )
    settings = SamplingSettings(max_new_tokens=12, temperature=0, repetition_penalty=1.0)
    steps = stream_tokens(model, tokenizer, [Request(None, "hello")], settings)
    assert [step[0] for step in steps] == whole[0, ids.shape[1] :].tolist()


def test_a_row_that_has_ended_yields_none_and_the_others_go_on(model: Any) -> None:
    with torch.no_grad():
        model.lm_head.weight[1] += 0.35 * torch.sign(model.lm_head.weight[1])
    try:
        rows = [Request(None, f"prompt {i}", (i,)) for i in range(8)]
        steps = list(
            stream_tokens(
                model, ByteTokenizer(), rows, SamplingSettings(max_new_tokens=40, temperature=1.5)
            )
        )
    finally:
        with torch.no_grad():
            model.lm_head.weight[1] -= 0.35 * torch.sign(model.lm_head.weight[1])
    ended = [row for row in range(len(rows)) if 1 in [s[row] for s in steps]]
    lengths = {[s[row] for s in steps].index(1) for row in ended}
    assert len(lengths) > 1, "the rows must end at different steps for this test to say anything"
    for row in ended:
        drawn = [s[row] for s in steps]
        assert all(t is None for t in drawn[drawn.index(1) + 1 :])
    # All steps are run for the rows that go on, and none once all have ended.
    assert len(steps) == (max(lengths) + 1 if len(ended) == len(rows) else 40)


def test_stopping_early_leaves_the_model_usable(model: Any) -> None:
    whole = texts(model, REQUESTS)
    for stop in range(1, 6):
        stream = stream_tokens(model, ByteTokenizer(), REQUESTS, SETTINGS)
        for _ in range(stop):
            next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert texts(model, REQUESTS) == whole


def test_tiny_top_p_is_greedy_without_penalty(model: Any) -> None:
    request = [Request(None, "hello", (5,))]
    narrow = texts(model, request, top_p=1e-6, repetition_penalty=1.0)
    assert narrow == texts(model, request, temperature=0, repetition_penalty=1.0)


def test_what_serving_md_says_of_top_p_is_so() -> None:
    """Its mass is of the whole vocabulary here; transformers counts it over what top-k has left."""
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    from palm_engine.lm.generation.sampling import _choose

    logits = torch.tensor([0.2, 0.18, 0.16] + [0.46 / 29] * 29).log()
    draws = 4000
    settings = SETTINGS.model_copy(update={"top_k": 3, "top_p": 0.5, "repetition_penalty": 1.0})
    uniform = torch.linspace(0, 1, draws + 2, dtype=torch.float64)[1:-1]
    chosen = _choose(logits.repeat(draws, 1), torch.empty(draws, 0).long(), uniform, settings)
    ours = torch.bincount(chosen, minlength=32) / draws
    # .2 and .18 don't reach half of the whole: all three stay, in proportion.
    assert torch.allclose(ours[:3], torch.tensor([0.2, 0.18, 0.16]) / 0.54, atol=1e-3)
    ids = torch.zeros(1, 1, dtype=torch.long)
    theirs = TopPLogitsWarper(0.5)(ids, TopKLogitsWarper(3)(ids, logits[None])).softmax(-1)[0]
    # Of the three that top-k leaves, the first two are more than half.
    assert torch.allclose(theirs[:3], torch.tensor([0.2, 0.18, 0.0]) / 0.38, atol=1e-3)


def greedy(model: Any, requests: list[Request], count: int) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in requests]
    chosen = SamplingSettings(max_new_tokens=count, temperature=0, repetition_penalty=1.0)
    for tokens in stream_tokens(model, ByteTokenizer(), requests, chosen):
        for row, token in zip(rows, tokens, strict=True):
            if token is not None:
                row.append(token)
    return rows


def test_a_mixture_adds_logits_up_and_weight_one_is_the_adapter_alone(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from palm_engine.lm.adapters.files import read_adapter, with_adapter
    from palm_engine.lm.adapters.stack import AdapterStack

    folders = {name: write_adapter(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))}
    mixed_model = tiny_llama()
    stack = AdapterStack(mixed_model)
    stack.add({name: read_adapter(folder) for name, folder in folders.items()})
    tokenizer = ByteTokenizer()

    def mixed(weights: dict[str, float], settings: SamplingSettings) -> list[tuple[int, ...]]:
        mixture = Mixture(weights, stack.on_rows)
        answers = sample_answers(
            mixed_model, tokenizer, REQUESTS, settings, batch_size=2, mixture=mixture
        )
        return [a.token_ids for a in answers]

    adapted = with_adapter(tiny_llama(), folders["b"])
    alone = sample_answers(adapted, tokenizer, REQUESTS, SETTINGS, batch_size=2)
    assert mixed({"a": 0.0, "b": 1.0}, SETTINGS) == [a.token_ids for a in alone]

    greedy = SamplingSettings(max_new_tokens=8, temperature=0, repetition_penalty=1.0)
    models = [with_adapter(tiny_llama(), folders[name]) for name in "ab"]
    for request, found in zip(REQUESTS, mixed({"a": 0.4, "b": 0.6}, greedy), strict=True):
        ids = conversation_ids(tokenizer, request.system, request.prompt)
        expected: list[int] = []
        for _ in range(8):
            with torch.no_grad():
                parts = [m(torch.tensor([ids + expected])).logits[0, -1] for m in models]
            expected.append(int((0.4 * parts[0] + 0.6 * parts[1]).argmax()))
            if expected[-1] == 1:
                break
        assert list(found) == [t for t in expected if t != 1]
