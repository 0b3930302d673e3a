"""Generation logic on a fake model with a byte tokenizer: no weights needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fakes import ByteTokenizer, tiny_llama

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from palm_engine.lm.generation.conversation import Request, conversation_ids
from palm_engine.lm.generation.decode_attention import (
    decode_attention,
    use_decode_attention,
)
from palm_engine.lm.generation.growing_cache import GrowingLayer, new_cache
from palm_engine.lm.generation.prefill import common_beginning
from palm_engine.lm.generation.sampling import (
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


def test_seeds_and_temperature_matter(model: Any) -> None:
    first = texts(model, [Request(None, "hello", (s,)) for s in range(6)])
    assert len(set(first)) > 1
    greedy = texts(model, [Request(None, "hello", (s,)) for s in range(3)], temperature=0)
    assert len(set(greedy)) == 1


def test_greedy_equals_transformers_generate(model: Any) -> None:
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


def tiny_gemma() -> Any:
    """Layers with a sliding window and without, in turns; four heads share two."""
    import transformers

    torch.manual_seed(1)
    return transformers.Gemma3ForCausalLM(
        transformers.Gemma3TextConfig(
            vocab_size=256,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            sliding_window=24,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
            initializer_range=0.3,
            tie_word_embeddings=False,
            query_pre_attn_scalar=8,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        )
    ).eval()


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


def forward_sizes(model: Any, run: Callable[[], Any]) -> list[tuple[int, ...]]:
    """The shapes of what goes through the model while `run` runs: (rows, tokens) of each pass."""
    usual = model.forward
    sizes = []

    def noting(**arguments: Any) -> Any:
        sizes.append(tuple(arguments["input_ids"].shape))
        return usual(**arguments)

    model.forward = noting
    try:
        run()
    finally:
        del model.forward
    return sizes


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


def test_what_conversations_have_in_common_is_run_once(model: Any) -> None:
    prompts = ["prompt", "another prompt", "third"]
    requests = [Request("system " * 9, prompts[i % 3], (i,)) for i in range(12)]
    expected = [texts(model, [r])[0] for r in requests]
    found: list[str] = []
    sizes = forward_sizes(model, lambda: found.extend(texts(model, requests)))
    assert found == expected
    # One row up to where the prompts differ, then the three of them.
    lengths = [len(conversation_ids(ByteTokenizer(), requests[0].system, p)) for p in prompts]
    common = sizes[0][1]
    assert sizes[0][0] == 1
    assert common > 60
    assert sizes[1] == (3, max(lengths) - common)
    # Other weights share nothing; nor do models whose layers look at a window, where padding would
    # count.
    other = [Request(r.system, r.prompt, r.seed, f"policy {i}") for i, r in enumerate(requests)]
    for who, asked in ((model, other), (tiny_gemma(), requests)):

        def run(who: Any = who, asked: Any = asked) -> list[Any]:
            return list(stream_tokens(who, ByteTokenizer(), asked, SETTINGS))

        assert forward_sizes(who, run)[0] == (12, max(lengths))


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.text("xy", min_size=1, max_size=6)),
        min_size=1,
        max_size=6,
    )
)
def test_the_common_beginning_is_that_of_every_policy(conversations: list[tuple[str, str]]) -> None:
    expected = min(
        len(os.path.commonprefix([text for policy, text in conversations if policy == p]))  # noqa: RUF071
        for p in "ab"
        if any(policy == p for policy, _ in conversations)
    )
    expected = min(expected, min(len(text) for _, text in conversations) - 1)
    assert common_beginning([(p, [ord(c) for c in text]) for p, text in conversations]) == expected


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5),
    st.sampled_from([(1, 1), (3, 1), (2, 3), (1, 4)]),
    st.integers(1, 20),
    st.data(),
)
def test_decode_attention_equals_torchs(
    rows: int, heads: tuple[int, int], tokens: int, data: st.DataObject
) -> None:
    shared, each = heads
    torch.manual_seed(data.draw(st.integers(0, 99)))
    query = torch.randn(rows, shared * each, 1, 8)
    key = torch.randn(rows, shared, tokens, 8)
    value = torch.randn(rows, shared, tokens, 8)
    mask = None
    if data.draw(st.booleans()):
        mask = torch.rand(rows, 1, 1, tokens) < 0.6
        mask[..., data.draw(st.integers(0, tokens - 1))] = True
    scale = data.draw(st.sampled_from([None, 0.3]))
    expected = torch.nn.functional.scaled_dot_product_attention(
        query,
        key.repeat_interleave(each, 1),
        value.repeat_interleave(each, 1),
        attn_mask=mask,
        scale=scale,
    )
    found, _ = decode_attention(None, query, key, value, mask, scaling=scale)
    assert torch.allclose(found, expected.transpose(1, 2), atol=1e-5)
    half, _ = decode_attention(
        None, query.bfloat16(), key.bfloat16(), value.bfloat16(), mask, scaling=scale
    )
    assert torch.allclose(half.float(), expected.transpose(1, 2), atol=0.05)


def test_the_cache_grows_where_the_model_takes_static_ones(model: Any) -> None:
    assert all(isinstance(layer, GrowingLayer) for layer in new_cache(model).layers)
    assert not any(isinstance(layer, GrowingLayer) for layer in new_cache(tiny_gemma()).layers)
