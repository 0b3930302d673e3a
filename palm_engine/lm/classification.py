"""Sequence classifiers: loaded from safetensors, run in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import ModelSourceError
from palm_engine.lm.base_model.load import load_tokenizer
from palm_engine.lm.devices import check_device, pick_device

Encoded = dict[str, list[int]]
# No token has this number.
NO_PADDING = -1


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
        # A causal model is read at the last token that is no padding. Where its padding would be
        # its end token, that is one too early: nothing is padded then (`class_logits`).
        own = tokenizer.pad_token_id != tokenizer.eos_token_id
        model.config.pad_token_id = tokenizer.pad_token_id if own else NO_PADDING
    model.to(pick_device() if device == "auto" else check_device(device))
    return model.eval(), tokenizer


def encode_pairs(
    tokenizer: Any, texts: Sequence[str], seconds: Sequence[str], most_tokens: int
) -> list[Encoded]:
    """Pairs of texts as a tokenizer joins them; what looks like a special token is text.

    Args:
        tokenizer: of the model.
        texts: n of them.
        seconds: one for each.
        most_tokens: longer pairs are cut.
    """
    found = tokenizer(
        list(texts),
        list(seconds),
        truncation=True,
        max_length=most_tokens,
        split_special_tokens=True,
    )
    return [{k: v[i] for k, v in found.items()} for i in range(len(texts))]


def encode_filled(tokenizer: Any, inner: Sequence[list[int]], most_tokens: int) -> list[Encoded]:
    """Token ids of texts between the special tokens that the tokenizer puts around any text.

    Args:
        tokenizer: of the model.
        inner: ids of n texts, without those.
        most_tokens: longer ones are cut.
    """
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    begins = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    before, after = whole[:begins], whole[begins + len(plain) :]
    room = most_tokens - len(before) - len(after)
    return [{"input_ids": [*before, *ids[:room], *after]} for ids in inner]


def class_logits(model: Any, tokenizer: Any, encoded: Sequence[Encoded], batch_size: int) -> Floats:
    """Logits of encoded texts.

    Args:
        model: a sequence classifier.
        tokenizer: its tokenizer.
        encoded: n texts or pairs of texts.
        batch_size: texts per pass.

    Returns:
        Shape (n, labels).
    """
    import torch

    lengths = [len(e["input_ids"]) for e in encoded]
    order = sorted(range(len(encoded)), key=lengths.__getitem__)
    together = batched(order, batch_size)
    if model.config.pad_token_id == NO_PADDING:
        alike = (list(rows) for _, rows in groupby(order, key=lengths.__getitem__))
        together = chain.from_iterable(batched(rows, batch_size) for rows in alike)
    logits = np.zeros((len(encoded), model.config.num_labels))
    with torch.inference_mode():
        for rows in map(list, together):
            batch = tokenizer.pad([encoded[i] for i in rows], return_tensors="pt")
            logits[rows] = model(**batch.to(model.device)).logits.double().cpu().numpy()
    return logits


def batched(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Rows in pieces of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
