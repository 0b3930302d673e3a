"""A cache with room gives what full passes give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.fakes import ByteTokenizer, tiny_gemma, tiny_llama

torch = pytest.importorskip("torch")
from palm_engine.lm.generation.conversation import Request, conversation_ids
from palm_engine.lm.generation.decode_attention import (
    use_decode_attention,
)
from palm_engine.lm.generation.growing_cache import GrowingLayer, new_cache
from palm_engine.lm.generation.sampling import (
    stream_tokens,
)
from palm_engine.lm.settings import SamplingSettings

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_llama()


def by_full_passes(model: Any, request: Request, count: int) -> list[int]:
    """Greedy tokens with no cache, no batch and torch's own attention."""
    ids = conversation_ids(ByteTokenizer(), request.system, request.prompt)
    found: list[int] = []
    for _ in range(count):
        with torch.inference_mode():
            found.append(
                int(model(torch.tensor([ids + found]), use_cache=False).logits[0, -1].argmax())
            )
        if found[-1] == 1:
            break
    return found


def greedy(model: Any, requests: list[Request], count: int) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in requests]
    chosen = SamplingSettings(max_new_tokens=count, temperature=0, repetition_penalty=1.0)
    for tokens in stream_tokens(model, ByteTokenizer(), requests, chosen):
        for row, token in zip(rows, tokens, strict=True):
            if token is not None:
                row.append(token)
    return rows


def tiny_neox() -> Any:
    """A model of another family, with positions on a part of each head."""
    import transformers

    torch.manual_seed(2)
    return transformers.GPTNeoXForCausalLM(
        transformers.GPTNeoXConfig(
            vocab_size=256,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            bos_token_id=2,
            eos_token_id=1,
            initializer_range=0.3,
        )
    ).eval()


@pytest.mark.parametrize("made", [tiny_llama, tiny_gemma, tiny_neox])
@pytest.mark.parametrize("attention", [False, True])
def test_long_answers_equal_full_passes_without_a_cache(
    made: Callable[[], Any], attention: bool
) -> None:
    model = made()
    system = "a system prompt that all of them share, long enough for a pass of its own"
    requests = [
        Request(system, text) for text in ("hello", "one that is a good deal longer", "hello", "x")
    ]
    expected = [by_full_passes(model, r, 50) for r in requests]

    # One of the tokens ends answers from now on, such that rows leave the batch at different steps.
    def cut(end: int) -> list[list[int]]:
        return [row[: row.index(end) + 1] if end in row else row for row in expected]

    end = max({t for row in expected for t in row}, key=lambda t: len({len(row) for row in cut(t)}))
    model.generation_config.eos_token_id = end
    expected = cut(end)
    assert len({len(row) for row in expected}) > 1
    if attention:
        use_decode_attention(model)
    assert greedy(model, requests, 50) == expected
    assert greedy(model, requests[:1], 50) == expected[:1]


def test_the_cache_grows_where_the_model_takes_static_ones(model: Any) -> None:
    assert all(isinstance(layer, GrowingLayer) for layer in new_cache(model).layers)
    assert not any(isinstance(layer, GrowingLayer) for layer in new_cache(tiny_gemma()).layers)
