"""Sequence classifiers: loaded from safetensors, run in batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import ModelSourceError
from palm_engine.lm.base_model.load import load_tokenizer
from palm_engine.lm.devices import check_device, pick_device


def load_classifier(folder: Path, device: str = "auto") -> tuple[Any, Any]:
    """A sequence classifier and its tokenizer, in float32.

    Args:
        folder: of the model.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        ModelSourceError: it can't be read, or has no trained classification head.
        InvalidInputError: this machine has no such device.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        first = (str(error).splitlines() or [""])[0][:200]
        raise ModelSourceError(
            f"{folder}: can't be loaded as a sequence classifier ({first})"
        ) from error
    if info["missing_keys"]:
        raise ModelSourceError(
            f"{folder}: is no sequence classifier: its safetensors lack"
            f" {min(info['missing_keys'])}, which would be random numbers"
        )
    tokenizer = load_tokenizer(folder)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    model.to(pick_device() if device == "auto" else check_device(device))
    return model.eval(), tokenizer


def class_logits(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    batch_size: int,
    most_tokens: int,
) -> Floats:
    """Logits of texts, or of pairs of texts.

    Args:
        model: a sequence classifier.
        tokenizer: its tokenizer.
        texts: n of them.
        pairs: a second text for each, or None.
        batch_size: texts per pass.
        most_tokens: longer texts are cut.

    Returns:
        Shape (n, labels).
    """
    import torch

    seconds = [] if pairs is None else [list(pairs)]
    encoded = tokenizer(list(texts), *seconds, truncation=True, max_length=most_tokens)
    lengths = [len(ids) for ids in encoded["input_ids"]]
    order = sorted(range(len(texts)), key=lengths.__getitem__)
    logits = np.zeros((len(texts), model.config.num_labels))
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = tokenizer.pad(
                [{k: v[i] for k, v in encoded.items()} for i in rows], return_tensors="pt"
            ).to(model.device)
            logits[rows] = model(**batch).logits.double().cpu().numpy()
    return logits
