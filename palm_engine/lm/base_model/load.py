"""Loads a base model from its folder.

Weights are safetensors only, and no code of a model is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_engine._types import Notice
from palm_engine.lm.base_model.places import fingerprint
from palm_engine.lm.base_model.source import resolve_base


@dataclass(frozen=True)
class BaseModel:
    """A loaded base.

    Attributes:
        source: its name.
        folder: where it was loaded from.
        fingerprint: sha256 of its tensors.
        model: a transformers model.
        tokenizer: a transformers tokenizer.
    """

    source: str
    folder: Path
    fingerprint: str
    model: Any
    tokenizer: Any


def load_base(
    source: str,
    report: Notice = print,
    dtype: str = "auto",
    *,
    device: str | None = None,
    threads: int | None = None,
    download: bool = True,
) -> BaseModel:
    """Load `source` for inference or training, in `dtype` (one of `devices.DTYPES`).

    `device` is `cpu`, `cuda`, `mps`, "spread" (over several GPUs, accelerate's device_map="auto")
    or None (`devices.pick_device`). Raises ModelSourceError.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from palm_engine.lm.devices import pick_device, pick_dtype, set_threads

    logging.disable_progress_bar()
    set_threads(threads)
    folder = resolve_base(source, report, download)
    spread = device == "spread"
    device = pick_device() if device is None or spread else device
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=pick_dtype(device, dtype),
        trust_remote_code=False,
        use_safetensors=True,
        **({"device_map": "auto"} if spread else {}),
    )
    if not spread:
        model.to(device)
    model.eval()
    return BaseModel(source, folder, fingerprint(folder), model, load_tokenizer(folder))


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a base model's folder, with a padding token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def token_counter(folder: Path) -> Callable[[Sequence[str]], list[int]]:
    """Counts the tokens of texts, without special ones.

    Args:
        folder: of the base model whose tokens count.
    """
    tokenizer = load_tokenizer(folder)

    def count(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    return count
