"""Log-likelihoods of given answers, for the KL diagnostic of a trained member."""

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

    device = next(model.parameters()).device
    end = tokenizer.eos_token_id
    results = np.zeros(len(prompts))
    for start in range(0, len(prompts), batch_size):
        rows = []
        for prompt, answer in zip(
            prompts[start : start + batch_size], answers[start : start + batch_size], strict=True
        ):
            body = list(answer.token_ids) + ([end] if answer.ended else [])
            rows.append((conversation_ids(tokenizer, system, prompt), body))
        longest = max(len(p) + len(a) for p, a in rows)
        ids = torch.full((len(rows), longest), tokenizer.pad_token_id, device=device)
        mask = torch.zeros_like(ids)
        for i, (prompt_ids, body) in enumerate(rows):
            ids[i, : len(prompt_ids) + len(body)] = torch.tensor(prompt_ids + body, device=device)
            mask[i, : len(prompt_ids) + len(body)] = 1
        with torch.inference_mode():
            hidden = model.model(
                input_ids=ids, attention_mask=mask, use_cache=False
            ).last_hidden_state
            for i, (prompt_ids, body) in enumerate(rows):
                first = len(prompt_ids) - 1
                logits = model.lm_head(hidden[i, first : first + len(body)]).float()
                picked = torch.log_softmax(logits, -1).gather(
                    -1, torch.tensor(body, device=device)[:, None]
                )
                results[start + i] = float(picked.sum())
    return results


def log_mixture(log_p: Floats) -> Floats:
    """Log of the mean over sources of p.

    Args:
        log_p: shape (sources, n), in nats.

    Returns:
        Shape (n,), in nats.
    """
    peak = log_p.max(axis=0)
    return np.asarray(peak + np.log(np.exp(log_p - peak).mean(axis=0)))
