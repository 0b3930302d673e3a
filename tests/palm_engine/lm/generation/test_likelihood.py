"""Log-likelihoods of answers, against one full forward pass per token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.fakes import ARCHITECTURES, ByteTokenizer, tiny_llama, tiny_model

torch = pytest.importorskip("torch")

from palm_engine.lm.generation.conversation import conversation_ids
from palm_engine.lm.generation.likelihood import log_likelihoods, log_mixture
from palm_engine.lm.generation.sampling import Answer

PROMPTS = ["hi", "a longer prompt", "hi", "hi"]
ANSWERS = [
    Answer("ab", (97, 98), 1),
    Answer("xyz!", (120, 121, 122, 33), None),
    Answer("", (), 1),
    # Ended by the template's token, which isn't the tokenizer's.
    Answer("no", (110, 111), 5),
]


def one_by_one(model: Any, system: str | None, prompt: str, answer: Answer) -> float:
    ids = conversation_ids(ByteTokenizer(), system, prompt)
    total = 0.0
    for token in [*answer.token_ids, *([] if answer.end is None else [answer.end])]:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        total += float(torch.log_softmax(logits.double(), -1)[token])
        ids = [*ids, token]
    return total


@pytest.mark.parametrize("system", [None, "be brief"])
@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_batches_equal_one_pass_per_token(system: str | None, batch_size: int) -> None:
    model = tiny_llama()
    found = log_likelihoods(model, ByteTokenizer(), system, PROMPTS, ANSWERS, batch_size)
    expected = [one_by_one(model, system, p, a) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "Gemma3"])
def test_every_architecture_is_scored_by_its_own_forward(architecture: str) -> None:
    model = tiny_model(architecture)
    found = log_likelihoods(model, ByteTokenizer(), "be brief", PROMPTS, ANSWERS)
    expected = [one_by_one(model, "be brief", p, a) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    assert found == pytest.approx(expected, abs=2e-3)


def test_the_mixture_is_the_mean_of_probabilities() -> None:
    log_p = np.log([[0.2, 1e-300], [0.4, 1e-200]])
    assert np.exp(log_mixture(log_p)[0]) == pytest.approx(0.3)
    assert log_mixture(log_p)[1] == pytest.approx(np.log(1e-200) - np.log(2))
