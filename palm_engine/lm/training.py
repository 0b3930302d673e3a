"""Reward-weighted regression of a LoRA adapter.

Maximum likelihood on pairs drawn from the Gibbs policy.

That is the forward-KL projection of the Gibbs policy on the family of adapted models. The base
model is left as it was; one adapter folder (safetensors) is written when training is complete,
never before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from palm_engine._files import whole_folder, write_whole
from palm_engine.lm.checkpoint import Checkpoint, training_key
from palm_engine.lm.generation.conversation import conversation_ids
from palm_engine.lm.generation.likelihood import answer_logits
from palm_engine.lm.generation.sampling import answer_end_id
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
    """How a training went; losses are means per token of the weighted answers, in nats.

    Attributes:
        losses: on the training pairs, by epoch.
        held_out: on the held-out prompts, before training and after each epoch; empty without such.
        epoch: whose adapter was kept (from 1): the last, or the best on the held-out prompts.
        steps: of the optimiser.
        history: by step, where rewards are asked while training (grpo): each trait's raw mean, and
            `scalar`, what they come to at the weights.
        weights: by trait, where rewards are asked while training.
        spent: what judges on servers have read and written, a sentence each.
    """

    losses: tuple[float, ...]
    held_out: tuple[float, ...]
    epoch: int
    steps: int
    history: tuple[dict[str, float], ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    spent: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    prompt: list[int]
    answer: list[int]
    weight: float

    @property
    def tokens(self) -> float:
        return self.weight * len(self.answer)


def train_adapter(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[Pair],
    settings: TrainingSettings,
    seed: int,
    folder: Path,
    progress: Callable[[float], None] = lambda _: None,
    start: Path | None = None,
    mark: str = "",
) -> TrainingReport:
    """Train one adapter on weighted `pairs` and write it to `folder`.

    It begins at the base, or goes on from the adapter in the folder `start`, which must be of the
    same rank.

    Where `settings.held_out` keeps prompts back, training stops once their loss rises, and the
    adapter of the best epoch is written. `progress` gets the share done, 0 to 1. A training that
    was stopped goes on after its last whole epoch, if `mark` (of whatever else the result depends
    on, such as the base) is the same.
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
    if start is not None:
        _go_on_from(adapted, start)
    checkpoint = Checkpoint(folder, training_key(tuple(pairs), settings, seed, mark))
    try:
        report, state = _optimise(adapted, tokenizer, pairs, settings, seed, checkpoint, progress)
        _save(adapted, state, folder)
        checkpoint.clear()
    finally:
        adapted.unload()
    return report


def _go_on_from(adapted: Any, start: Path) -> None:
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(adapted, load_file(start / "adapter_model.safetensors"))


def _optimise(
    adapted: Any,
    tokenizer: Any,
    pairs: Sequence[Pair],
    settings: TrainingSettings,
    seed: int,
    checkpoint: Checkpoint,
    progress: Callable[[float], None],
) -> tuple[TrainingReport, dict[str, Any]]:
    import torch

    rng = np.random.default_rng(seed)
    train, held = _rows(adapted, tokenizer, pairs, settings, rng)
    parameters = [p for p in adapted.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0)
    batches = math.ceil(len(train) / settings.batch_size)
    total = settings.epochs * batches
    # One divisor for all batches: a token counts the same whatever else is in its batch, so that
    # the step is that of the weighted likelihood over all pairs.
    per_batch = sum(row.tokens for row in train) / batches
    losses: list[float] = []
    held_out: list[float] = []
    best = (1, adapter_state(adapted))
    step = 0
    kept = checkpoint.restore(parameters, optimiser)
    if kept is not None:
        losses, held_out = kept["losses"], kept["held_out"]
        best = (kept["best"], kept["best_state"])
        step = kept["step"]
        rng.bit_generator.state = kept["order"]
    elif held:
        held_out = [_mean_loss(adapted, tokenizer, held, settings.batch_size)]
    for epoch in range(len(losses) + 1, settings.epochs + 1):
        adapted.train()
        loss_sum = 0.0
        for batch in _batches(train, settings.batch_size, rng):
            loss = _weighted_loss(adapted, tokenizer, batch)
            warm = min(1.0, (step + 1) / max(1, total // 10))
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * warm * (1 - step / total)
            optimiser.zero_grad()
            (loss / per_batch).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            loss_sum += float(loss.detach())
            step += 1
            progress(step / total)
        adapted.eval()
        losses.append(loss_sum / (per_batch * batches))
        if held:
            held_out.append(_mean_loss(adapted, tokenizer, held, settings.batch_size))
            if epoch > 1 and held_out[-1] >= min(held_out[1:-1]):
                progress(1.0)
                break
        best = (epoch, adapter_state(adapted))
        if epoch < settings.epochs:
            content = {"losses": losses, "held_out": held_out, "best": epoch, "step": step}
            content["order"] = rng.bit_generator.state
            checkpoint.keep(parameters, optimiser, best[1], content)
    return TrainingReport(tuple(losses), tuple(held_out), best[0], step), best[1]


def _rows(
    adapted: Any,
    tokenizer: Any,
    pairs: Sequence[Pair],
    settings: TrainingSettings,
    rng: np.random.Generator,
) -> tuple[list[_Row], list[_Row]]:
    """The pairs as token ids: to train on, and of the prompts that are held out."""
    end = answer_end_id(adapted, tokenizer)
    prompts = list(dict.fromkeys(pair.prompt for pair in pairs))
    count = min(round(settings.held_out * len(prompts)), len(prompts) - 1)
    held = set(rng.permutation(len(prompts))[:count].tolist())
    out_of = {prompts[i] for i in held}
    train: list[_Row] = []
    back: list[_Row] = []
    for pair in pairs:
        answer = list(tokenizer(pair.answer, add_special_tokens=False)["input_ids"])
        row = _Row(
            conversation_ids(tokenizer, pair.system, pair.prompt),
            [*answer, end] if pair.ended else answer,
            pair.weight,
        )
        if row.answer:
            (back if pair.prompt in out_of else train).append(row)
    return train, back


def _batches(rows: list[_Row], size: int, rng: np.random.Generator) -> list[list[_Row]]:
    # Shuffled, but rows of similar length share a batch: padding is wasted work.
    order = rng.permutation(len(rows))
    order = np.array(sorted(order, key=lambda i: (len(rows[i].prompt) + len(rows[i].answer)) // 8))
    batches = [[rows[i] for i in order[s : s + size]] for s in range(0, len(order), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _weighted_loss(adapted: Any, tokenizer: Any, batch: list[_Row]) -> Any:
    import torch

    logits, targets = answer_logits(
        adapted.get_base_model(), tokenizer, [(row.prompt, row.answer) for row in batch]
    )
    weights = torch.tensor([row.weight for row in batch for _ in row.answer], device=logits.device)
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    return (losses * weights).sum()


def _mean_loss(adapted: Any, tokenizer: Any, rows: list[_Row], size: int) -> float:
    import torch

    with torch.inference_mode():
        losses = [
            float(_weighted_loss(adapted, tokenizer, rows[start : start + size]))
            for start in range(0, len(rows), size)
        ]
    return sum(losses) / sum(row.tokens for row in rows)


def save_adapter(adapted: Any, folder: Path) -> None:
    """Write the adapter of a peft model, whole or not at all: bfloat16, safetensors.

    Args:
        adapted: a peft model with one adapter.
        folder: to write.
    """
    _save(adapted, adapter_state(adapted), folder)


def _save(adapted: Any, state: dict[str, Any], folder: Path) -> None:
    with whole_folder(folder) as part:
        write_adapter_files(adapted, state, part)


def adapter_state(adapted: Any) -> dict[str, Any]:
    """A copy of the adapter's weights, in bfloat16 on the CPU."""
    import torch
    from peft import get_peft_model_state_dict

    return {
        k: v.detach().to("cpu", torch.bfloat16, copy=True).contiguous()
        for k, v in get_peft_model_state_dict(adapted).items()
    }


def write_adapter_files(adapted: Any, state: dict[str, Any], folder: Path) -> None:
    """Write an adapter's weights and configuration into a folder that is there.

    Args:
        adapted: a peft model with one adapter.
        state: its weights, as `adapter_state` gives them.
        folder: to write into.
    """
    from safetensors.torch import save

    config = adapted.peft_config["default"]
    # Don't leak the local path of the base model; it is never followed when loading.
    config.base_model_name_or_path = ""
    config.inference_mode = True
    # A set otherwise, written in any order: the same training would give another hash.
    config.target_modules = sorted(config.target_modules)
    # Not save_file: what it raises on a full disk is no OSError.
    write_whole(folder / "adapter_model.safetensors", save(state, {"format": "pt"}))
    config.save_pretrained(folder)
