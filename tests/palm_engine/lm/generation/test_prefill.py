"""What conversations have in common is run once."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import ByteTokenizer, tiny_gemma, tiny_llama

torch = pytest.importorskip("torch")
from palm_engine.lm.generation.conversation import Request, conversation_ids
from palm_engine.lm.generation.prefill import common_beginning
from palm_engine.lm.generation.sampling import (
    sample_answers,
    stream_tokens,
)
from palm_engine.lm.settings import SamplingSettings

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_llama()


SETTINGS = SamplingSettings(max_new_tokens=12, temperature=1.0, top_p=0.9, repetition_penalty=1.2)


def texts(model: Any, requests: list[Request], **changes: Any) -> list[str]:
    settings = SETTINGS.model_copy(update=changes)
    return [
        a.text for a in sample_answers(model, ByteTokenizer(), requests, settings, batch_size=16)
    ]


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
