"""Logits and log-likelihoods of given answers, for training and for the KL diagnostic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from palm_engine._types import Floats
from palm_engine.lm.generation.conversation import conversation_ids
from palm_engine.lm.generation.sampling import Answer


def log_likelihoods(
    model: Any,
    tokenizer: Any,
    system: str | None,
    prompts: Sequence[str],
    answers: Sequence[Answer],
    batch_size: int = 16,
) -> Floats:
    """Log-likelihoods of answers at temperature 1; the end token counts where it was drawn.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer.
        system: the system prompt, or None.
        prompts: n of them.
        answers: one per prompt.
        batch_size: answers per pass.

    Returns:
        In nats, shape (n,).
    """
    import torch

    results = np.zeros(len(prompts))
    for start in range(0, len(prompts), batch_size):
        chunk = slice(start, start + batch_size)
        rows = [
            (
                conversation_ids(tokenizer, system, prompt),
                [*answer.token_ids, *([] if answer.end is None else [answer.end])],
            )
            for prompt, answer in zip(prompts[chunk], answers[chunk], strict=True)
        ]
        with torch.inference_mode():
            logits, targets = answer_logits(model, tokenizer, rows)
            picked = torch.log_softmax(logits, -1).gather(-1, targets[:, None])[:, 0]
        lengths = [len(body) for _, body in rows]
        results[chunk] = [float(part.sum()) for part in torch.split(picked, lengths)]
    return results


def answer_logits(
    model: Any, tokenizer: Any, rows: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> tuple[Any, Any]:
    """Logits of each answer token given all before it, through the model's own forward pass.

    What a model does after its head (scaling of logits, soft caps) is so kept.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer.
        rows: token ids of prompt and answer, one pair per row.

    Returns:
        Logits, (answer tokens of all rows, vocabulary), in float32, and the tokens, (same,).
    """
    import torch

    device = model.get_input_embeddings().weight.device
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.full((len(rows), longest), tokenizer.pad_token_id, device=device)
    mask = torch.zeros_like(ids)
    predicts = torch.zeros(len(rows), longest, dtype=torch.bool, device=device)
    for row, (prompt, answer) in enumerate(rows):
        n = len(prompt) + len(answer)
        ids[row, :n] = torch.tensor([*prompt, *answer], device=device)
        mask[row, :n] = 1
        predicts[row, len(prompt) - 1 : n - 1] = True
    # Logits only where some row's answer is: a vocabulary per token is much of the arithmetic.
    columns = predicts.any(0).nonzero()[:, 0]
    logits = model(
        input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=columns
    ).logits[predicts[:, columns]]
    targets = torch.roll(ids, -1, dims=1)[predicts]
    return logits.float(), targets.to(logits.device)


def log_mixture(log_p: Floats) -> Floats:
    """Log of the mean over sources of p.

    Args:
        log_p: shape (sources, n), in nats.

    Returns:
        Shape (n,), in nats.
    """
    peak = log_p.max(axis=0)
    return np.asarray(peak + np.log(np.exp(log_p - peak).mean(axis=0)))
