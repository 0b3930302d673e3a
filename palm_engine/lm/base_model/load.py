"""Loads a base model from its folder.

Weights are safetensors only, and no code of a model is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from palm_engine._json import read_json
from palm_engine._types import Notice
from palm_engine.errors import ModelSourceError
from palm_engine.lm.base_model.places import WHOLE, fingerprint, shape_of
from palm_engine.lm.base_model.source import resolve_base, tensor_shapes
from palm_engine.lm.settings import TemplateSettings

# What transformers raises over files that it can't make a model of.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
    OverflowError,
    ImportError,
)


@dataclass(frozen=True)
class BaseModel:
    """A loaded base.

    Attributes:
        source: its name.
        folder: where it was loaded from.
        fingerprint: sha256 of its tensors.
        model: a transformers model.
        tokenizer: a transformers tokenizer.
        template: what was changed of its chat template.
    """

    source: str
    folder: Path
    fingerprint: str
    model: Any
    tokenizer: Any
    template: TemplateSettings | None = None


def load_base(
    source: str,
    report: Notice = print,
    dtype: str = "auto",
    *,
    device: str | None = None,
    threads: int | None = None,
    download: bool = True,
    template: TemplateSettings | None = None,
) -> BaseModel:
    """Load a base model for inference or training.

    Whatever would fail at the first question (no chat template, no end token) fails here.

    Args:
        source: see `source.resolve_base`.
        report: gets sentences on what is done.
        dtype: one of `devices.DTYPES`.
        device: `cpu`, `cuda`, `mps`, "spread" (over several GPUs, accelerate's device_map="auto")
            or None (`devices.pick_device`).
        threads: of the CPU, or None.
        download: whether the base may be fetched.
        template: how a conversation is put to the model, where not as its tokenizer says.

    Raises:
        ModelSourceError: it can't be had, read, or asked.
    """
    from palm_engine.lm.devices import pick_device, pick_dtype, set_threads
    from palm_engine.lm.generation.conversation import conversation_ids
    from palm_engine.lm.generation.sampling import end_token_ids

    set_threads(threads)
    folder = resolve_base(source, report, download)
    spread = device == "spread"
    device = pick_device() if device is None or spread else device
    _require_plain_weights(folder)
    model = _model(folder, pick_dtype(device, dtype), "auto" if spread else None)
    if not spread:
        model.to(device)
    model.eval()
    tokenizer = load_tokenizer(folder, template)
    try:
        conversation_ids(tokenizer, None, "?")
        end_token_ids(model, tokenizer)
    except ModelSourceError as error:
        raise ModelSourceError(f"{source}: {error}") from error
    return BaseModel(source, folder, fingerprint(folder), model, tokenizer, template)


def check_base(folder: Path, template: TemplateSettings | None = None) -> None:
    """Check what can be known of a base without loading it.

    Weights, tokenizer, chat template, the token that ends an answer.

    Args:
        folder: of the base model.
        template: as for `load_base`.

    Raises:
        ModelSourceError: names what is broken.
    """
    from palm_engine.lm.generation.conversation import conversation_ids
    from palm_engine.lm.generation.sampling import end_tokens

    _require_plain_weights(folder)
    _require_shapes(folder)
    _model(folder, "auto", "meta")  # all but the numbers themselves
    tokenizer = load_tokenizer(folder, template)
    try:
        conversation_ids(tokenizer, None, "?")
        end_tokens(_configured_ends(folder), tokenizer)
    except ModelSourceError as error:
        raise ModelSourceError(f"{folder}: {error}") from error


def _require_plain_weights(folder: Path) -> None:
    """Check that the weights are numbers that an adapter's can be added to.

    Raises:
        ModelSourceError: they are quantised.
    """
    packed = shape_of(folder).get("quantization_config")
    if packed is None:
        return
    method = packed.get("quant_method") if isinstance(packed, dict) else None
    named = f" ({method})"[:80] if isinstance(method, str) else ""
    raise ModelSourceError(
        f"{folder}: config.json says that its weights are quantised{named}. Adapters are trained on"
        " plain weights and added to them, so name the model that it was made from, or a"
        " dequantised copy without quantization_config; a quantised model on a server can be a"
        " policy (url and model)"
    )


def _require_shapes(folder: Path) -> None:
    """Check that tensors which files and configuration both name are of one shape.

    Raises:
        ModelSourceError: names one that isn't.
    """
    found = tensor_shapes(folder)
    for name, tensor in empty_model(folder).state_dict().items():
        if name in found and found[name] != tuple(tensor.shape):
            raise ModelSourceError(
                f"{folder}: {name} is {found[name]} in its safetensors and"
                f" {tuple(tensor.shape)} by config.json: they are of another model; {WHOLE}"
            )


def _configured_ends(folder: Path) -> Any:
    """Token ids that generation ends at, as the folder's files say it: None, one or several."""
    path = folder / "generation_config.json"
    if path.is_file():
        said = read_json(path, ModelSourceError, WHOLE)
        return said.get("eos_token_id") if isinstance(said, dict) else None
    shape = shape_of(folder)
    text = shape.get("text_config")
    return shape.get("eos_token_id", text.get("eos_token_id") if isinstance(text, dict) else None)


def _model(folder: Path, dtype: Any, places: str | None) -> Any:
    """The model; `places` is transformers' device_map: "auto", "meta" for one without numbers.

    Raises:
        ModelSourceError: it can't be loaded, or isn't whole.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    # Its report of tensors that don't fit; what matters of it is in the error.
    logging.set_verbosity_error()
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **({"device_map": places} if places else {}),
        )
    except (*UNREADABLE, SafetensorError) as error:
        raise ModelSourceError(
            f"{folder}: can't be loaded as a causal language model ({_first_line(error)}); copy the"
            " folder anew, or choose another model"
        ) from error
    if info["missing_keys"]:
        # transformers would fill them with random numbers.
        raise ModelSourceError(
            f"{folder}: its safetensors lack {len(info['missing_keys'])} tensors of a"
            f" {type(model).__name__}, as {min(info['missing_keys'])}; copy the folder anew, or"
            " choose another model"
        )
    if "logits_to_keep" not in signature(model.forward).parameters:
        raise ModelSourceError(
            f"{folder}: {type(model).__name__} isn't supported: its forward pass has no"
            " logits_to_keep"
        )
    return model


def empty_model(folder: Path) -> Any:
    """The model's modules without weights (on the device "meta").

    Args:
        folder: of the base model.

    Raises:
        ModelSourceError: its configuration can't be read.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except UNREADABLE as error:
        raise ModelSourceError(
            f"{folder}: can't be read as a causal language model ({_first_line(error)})"
        ) from error


def load_tokenizer(folder: Path, template: TemplateSettings | None = None) -> Any:
    """The tokenizer in a base model's folder, with a padding token.

    Args:
        folder: of the base model.
        template: replaces or sets options of its chat template.

    Raises:
        ModelSourceError: there is none that can be read.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except UNREADABLE as error:
        raise ModelSourceError(
            f"{folder}: no tokenizer that can be read ({_first_line(error)}); copy tokenizer.json"
            " and tokenizer_config.json there"
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if template is not None:
        tokenizer.chat_template = template.applied_to(tokenizer.chat_template)
    return tokenizer


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def token_counter(folder: Path) -> Callable[[Sequence[str]], list[int]]:
    """Counts the tokens of texts, without special ones.

    Args:
        folder: of the base model whose tokens count.
    """
    tokenizer = load_tokenizer(folder)

    def count(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    return count
