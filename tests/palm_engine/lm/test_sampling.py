"""Generation logic on a fake model with a byte tokenizer: no weights needed."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import ByteTokenizer, tiny_llama

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from palm_engine.lm.sampling import Request, SamplingSettings, sample_answers, stream_tokens  # noqa: E402


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
    settings = SamplingSettings(**{**SETTINGS.__dict__, **changes})
    return [a.text for a in sample_answers(model, ByteTokenizer(), requests, settings, batch_size=8)]


def test_a_row_draws_the_same_whatever_shares_its_batch(model: Any) -> None:
    together = texts(model, REQUESTS)
    assert together == [texts(model, [r])[0] for r in REQUESTS]
    assert together == texts(model, REQUESTS[::-1])[::-1]


def test_seeds_and_temperature_matter(model: Any) -> None:
    first = texts(model, [Request(None, "hello", (s,)) for s in range(6)])
    assert len(set(first)) > 1
    greedy = texts(model, [Request(None, "hello", (s,)) for s in range(3)], temperature=0)
    assert len(set(greedy)) == 1


def test_greedy_equals_transformers_generate(model: Any) -> None:
    ids = torch.tensor([list(ByteTokenizer().apply_chat_template(
        [{"role": "system", "content": ""}, {"role": "user", "content": "hello"}]).encode())])  # fmt: skip
    expected = []
    for _ in range(12):
        with torch.no_grad():
            expected.append(
                int(model(torch.cat([ids, torch.tensor([expected], dtype=torch.long)], 1)).logits[0, -1].argmax())
            )
        if expected[-1] == 1:
            break
    settings = SamplingSettings(max_new_tokens=12, temperature=0, repetition_penalty=1.0)
    found = [t[0] for t in stream_tokens(model, ByteTokenizer(), [Request(None, "hello")], settings)]
    assert found == expected


def test_a_row_that_has_ended_yields_none_and_the_others_go_on(model: Any) -> None:
    with torch.no_grad():
        model.lm_head.weight[1] += 0.35 * torch.sign(model.lm_head.weight[1])
    try:
        rows = [Request(None, f"prompt {i}", (i,)) for i in range(8)]
        steps = list(stream_tokens(model, ByteTokenizer(), rows, SamplingSettings(max_new_tokens=40, temperature=1.5)))
    finally:
        with torch.no_grad():
            model.lm_head.weight[1] -= 0.35 * torch.sign(model.lm_head.weight[1])
    for row in range(len(rows)):
        drawn = [s[row] for s in steps]
        if 1 in drawn:
            assert all(t is None for t in drawn[drawn.index(1) + 1 :])
    assert len(steps) <= 40


def test_stopping_early_leaves_the_model_usable(model: Any) -> None:
    whole = texts(model, REQUESTS)
    for stop in range(1, 6):
        stream = stream_tokens(model, ByteTokenizer(), REQUESTS, SETTINGS)
        for _ in range(stop):
            next(stream)
        stream.close()
        assert texts(model, REQUESTS) == whole


def test_tiny_top_p_is_greedy_without_penalty(model: Any) -> None:
    request = [Request(None, "hello", (5,))]
    narrow = texts(model, request, top_p=1e-6, repetition_penalty=1.0)
    assert narrow == texts(model, request, temperature=0, repetition_penalty=1.0)
