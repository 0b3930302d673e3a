"""Reward-weighted regression of a LoRA adapter.

Maximum likelihood on pairs drawn from the Gibbs policy.

That is the forward-KL projection of the Gibbs policy on the family of adapted models. The base
model is left as it was; one adapter folder (safetensors) is written when training is complete,
never before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from palm_engine._files import whole_folder
from palm_engine.lm.generation.conversation import conversation_ids
from palm_engine.lm.generation.sampling import end_token_ids
from palm_engine.lm.settings import TrainingSettings


@dataclass(frozen=True)
class Pair:
    """A prompt and an answer to imitate, `weight` times.

    `ended` says whether the answer stopped by itself.
    """

    system: str | None
    prompt: str
    answer: str
    ended: bool
    weight: float


@dataclass(frozen=True)
class TrainingReport:
    """Mean loss per token (nats) over the first and last epoch, and the optimiser steps taken."""

    first_loss: float
    last_loss: float
    steps: int


def train_adapter(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[Pair],
    settings: TrainingSettings,
    seed: int,
    folder: Path,
    progress: Callable[[float], None] = lambda _: None,
) -> TrainingReport:
    """Train one adapter on weighted `pairs` and write it to `folder`.

    `progress` gets the share done, 0 to 1.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, lora)
    try:
        adapted.train()
        report = _optimise(adapted, tokenizer, pairs, settings, seed, progress)
        adapted.eval()
        with whole_folder(folder) as part:
            _save_bf16(adapted, part)
    finally:
        adapted.unload()
    return report


def _optimise(
    adapted: Any,
    tokenizer: Any,
    pairs: Sequence[Pair],
    settings: TrainingSettings,
    seed: int,
    progress: Any,
) -> TrainingReport:
    import torch

    ends = end_token_ids(adapted, tokenizer)
    end = tokenizer.eos_token_id if tokenizer.eos_token_id in ends else min(ends)
    rows = []
    for pair in pairs:
        prompt = conversation_ids(tokenizer, pair.system, pair.prompt)
        answer = tokenizer(pair.answer, add_special_tokens=False)["input_ids"] + (
            [end] if pair.ended else []
        )
        rows.append((prompt, answer, pair.weight))
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0)
    total = settings.epochs * math.ceil(len(rows) / settings.batch_size)
    rng = np.random.default_rng(seed)
    epoch_losses = []
    step = 0
    for _ in range(settings.epochs):
        loss_sum = 0.0
        token_sum = 0.0
        for batch in _batches(rows, settings.batch_size, rng):
            loss, weight = _weighted_loss(adapted, tokenizer, batch)
            warm = min(1.0, (step + 1) / max(1, total // 10))
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * warm * (1 - step / total)
            optimiser.zero_grad()
            (loss / weight).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            loss_sum = loss_sum + float(loss.detach())
            token_sum = token_sum + weight
            step = step + 1
            progress(step / total)
        epoch_losses.append(loss_sum / token_sum)
    return TrainingReport(epoch_losses[0], epoch_losses[-1], step)


def _batches(rows: list[Any], size: int, rng: np.random.Generator) -> list[list[Any]]:
    # Shuffled, but rows of similar length share a batch: padding is wasted work.
    order = rng.permutation(len(rows))
    order = np.array(sorted(order, key=lambda i: (len(rows[i][0]) + len(rows[i][1])) // 8))
    batches = [[rows[i] for i in order[s : s + size]] for s in range(0, len(order), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _weighted_loss(adapted: Any, tokenizer: Any, batch: list[Any]) -> tuple[Any, float]:
    import torch

    device = next(adapted.parameters()).device
    longest = max(len(p) + len(a) for p, a, _ in batch)
    ids = torch.full((len(batch), longest), tokenizer.pad_token_id, device=device)
    mask = torch.zeros_like(ids)
    predicts = torch.zeros(len(batch), longest, dtype=torch.bool, device=device)
    for row, (prompt, answer, _) in enumerate(batch):
        n = len(prompt) + len(answer)
        ids[row, :n] = torch.tensor(prompt + answer, device=device)
        mask[row, :n] = 1
        predicts[row, len(prompt) - 1 : n - 1] = True
    hidden = (
        adapted.get_base_model()
        .model(input_ids=ids, attention_mask=mask, use_cache=False)
        .last_hidden_state
    )
    # Logits only where an answer token is predicted: the vocabulary is a fifth of this model's
    # arithmetic.
    logits = adapted.get_base_model().lm_head(hidden[predicts]).float()
    targets = torch.roll(ids, -1, dims=1)[predicts]
    weights = torch.tensor([w for _, a, w in batch for _ in a], device=device)
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    return (losses * weights).sum(), float(weights.sum())


def _save_bf16(adapted: Any, folder: Path) -> None:
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    state = {
        k: v.detach().to("cpu", torch.bfloat16).contiguous()
        for k, v in get_peft_model_state_dict(adapted).items()
    }
    save_file(state, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = adapted.peft_config["default"]
    # Don't leak the local path of the base model; it is never followed when loading.
    config.base_model_name_or_path = ""
    config.inference_mode = True
    # A set otherwise, written in any order: the same training would give another hash.
    config.target_modules = sorted(config.target_modules)
    config.save_pretrained(folder)
