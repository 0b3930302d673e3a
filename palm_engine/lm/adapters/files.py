"""LoRA adapters on disk and on the base model (peft's format, safetensors only)."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_engine._json import read_json
from palm_engine.errors import ModelSourceError

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_KEY = re.compile(
    r"(?:base_model\.model\.)?(?P<path>.+)\.lora_(?P<part>[AB])(?:\.default)?\.weight"
)
# Of a configuration; of an adapter's tensors and their rank.
MOST_BYTES = 4_000_000
MOST_TENSORS = 50_000
MOST_RANK = 4096
MOST_ALPHA = 1e6
_PLAIN = re.compile(r"[A-Za-z0-9_.]+")
# Variants that are more than base + scale * B A: read as plain LoRA they would silently be another
# model.
_UNSUPPORTED = (
    "use_dora",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "modules_to_save",
    "layer_replication",
    "alora_invocation_tokens",
)
# Ways to begin an adapter that change the base too: the adapter alone belongs to a residual of it.
_RESIDUAL = ("pissa", "olora", "corda", "loftq", "lora_ga")


class NotPlainLoraError(ModelSourceError):
    """An adapter that is sound, as far as that is looked at, but no plain LoRA: peft runs it."""


@dataclass(frozen=True)
class LoraWeights:
    """An adapter as read: layer path to (A (rank, in), B (out, rank), scale).

    The layer adds `scale * B A x`.
    """

    layers: Mapping[str, tuple[Any, Any, float]]

    @property
    def parameters(self) -> int:
        """How many numbers the adapter has."""
        return sum(a.numel() + b.numel() for a, b, _ in self.layers.values())


def check_adapter_folder(folder: Path) -> None:
    """Raise ModelSourceError unless `folder` holds a LoRA adapter in safetensors.

    Raises:
        ModelSourceError: it does not.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if (folder / name).is_symlink():
            raise ModelSourceError(
                f"{folder / name}: is a link; adapters are read from their own folder, so copy the"
                " file there"
            )
        if not (folder / name).is_file():
            raise ModelSourceError(
                f"{folder}: {name} is missing; an adapter folder holds it and safetensors only"
            )


def adapter_parameters(folder: Path) -> int | None:
    """How many numbers an adapter's file has, by its header alone; None where that can't be read.

    The header: eight bytes with its length, then JSON (the format of safetensors).
    """
    try:
        with (folder / WEIGHTS_FILE).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > MOST_BYTES:
                return None
            header = json.loads(file.read(length))
        return int(sum(math.prod(t["shape"]) for n, t in header.items() if n != "__metadata__"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def configured_rank(folder: Path) -> int:
    """The largest rank that an adapter's configuration names, which engines set memory aside for.

    Raises:
        ModelSourceError: the configuration can't be read.
    """
    config = _config(folder)
    ranks = [config.get("r"), *dict(config.get("rank_pattern") or {}).values()]
    return max((int(r) for r in ranks if isinstance(r, int)), default=0)


def adapter_sha256(folder: Path) -> str:
    """Hash of an adapter: its configuration, but for the path of its base, and its weights.

    Kept in the bundle so that a changed adapter is noticed; `lora_alpha` alone makes another model.
    """
    config = _config(folder)
    config.pop("base_model_name_or_path", None)
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode())
    digest.update((folder / WEIGHTS_FILE).read_bytes())
    return digest.hexdigest()


def weights_sha256(folder: Path) -> str:
    """Hash of an adapter's weights alone, as bundles of version 1 recorded it."""
    return hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()


def require_evaluated(folder: Path, wanted: str | None, wanted_weights: str | None) -> None:
    """Check that the adapter is the one that was evaluated, as far as the bundle recorded it.

    Args:
        folder: the adapter's folder.
        wanted: the recorded `adapter_sha256`, or None.
        wanted_weights: the recorded `weights_sha256`, or None.

    Raises:
        ModelSourceError: the adapter isn't the one of the bundle's figures.
    """
    for wanted_hash, actual in ((wanted, adapter_sha256), (wanted_weights, weights_sha256)):
        if wanted_hash is not None and (own := actual(folder)) != wanted_hash:
            raise ModelSourceError(
                f"{folder}: this adapter (sha256 {own[:12]}...) is not the one that was evaluated "
                f"({wanted_hash[:12]}...), so no figure of the bundle holds for it. Restore it."
            )


def _require_finite(folder: Path, tensors: Mapping[str, Any]) -> None:
    """Check the numbers of an adapter of any kind.

    Raises:
        ModelSourceError: one isn't finite.
    """
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ModelSourceError(
                f"{folder / WEIGHTS_FILE}: {key}: not all are finite numbers; train or copy the"
                " adapter anew"
            )


def read_adapter(folder: Path) -> LoraWeights:
    """Read a LoRA adapter; the base path inside adapter_config.json is ignored.

    Raises:
        ModelSourceError: the files are damaged.
        NotPlainLoraError: the adapter is no plain LoRA.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    check_adapter_folder(folder)
    config = _config(folder)
    try:
        tensors = load((folder / WEIGHTS_FILE).read_bytes())
    except (ValueError, KeyError, RecursionError, SafetensorError) as error:
        raise ModelSourceError(
            f"{folder}: can't be read ({type(error).__name__}); copy the adapter anew"
        ) from error
    if len(tensors) > MOST_TENSORS:
        raise ModelSourceError(
            f"{folder / WEIGHTS_FILE}: {len(tensors):,} tensors, more than {MOST_TENSORS:,}"
        )
    odd = [name for name in _UNSUPPORTED if config.get(name)]
    begun = str(config.get("init_lora_weights", ""))
    if begun.startswith(_RESIDUAL):
        raise ModelSourceError(
            f"{folder / CONFIG_FILE}: init_lora_weights {begun}: such an adapter belongs to a"
            " changed base; save it again with path_initial_model_for_weight_conversion (peft),"
            " which makes it a plain LoRA"
        )
    _require_finite(folder, tensors)
    if config.get("peft_type") != "LORA" or odd or config.get("bias", "none") != "none":
        what = odd[0] if odd else f"peft_type {config.get('peft_type')}, bias {config.get('bias')}"
        raise NotPlainLoraError(
            f"{folder / CONFIG_FILE}: {what}: only plain LoRA adapters can be stacked"
        )
    parts: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise NotPlainLoraError(
                f"{folder / WEIGHTS_FILE}: tensor {key!r} isn't part of a plain LoRA adapter"
            )
        if tensor.ndim != 2 or not tensor.is_floating_point():
            raise ModelSourceError(
                f"{folder / WEIGHTS_FILE}: {key}: no matrix of finite numbers ({tensor.dtype},"
                f" {tensor.ndim} dimensions); train or copy the adapter anew"
            )
        parts.setdefault(match["path"], {})[match["part"]] = tensor
    layers = {}
    for path, pair in parts.items():
        rank = pair["A"].shape[0] if "A" in pair else 0
        if set(pair) != {"A", "B"} or rank != pair["B"].shape[1] or not 1 <= rank <= MOST_RANK:
            raise ModelSourceError(
                f"{folder / WEIGHTS_FILE}: A and B of {path} don't fit each other, or have a rank"
                f" above {MOST_RANK:,}"
            )
        try:
            scale = _scale(config, path, rank)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelSourceError(
                f"{folder / CONFIG_FILE}: r or lora_alpha of {path} can't be read ({error})"
            ) from error
        layers[path] = (pair["A"], pair["B"], scale)
    return LoraWeights(layers)


def _config(folder: Path) -> dict[str, Any]:
    """An adapter's configuration.

    Raises:
        ModelSourceError: it can't be read.
    """
    config = read_json(folder / CONFIG_FILE, ModelSourceError, "copy the adapter anew", MOST_BYTES)
    if not isinstance(config, dict):
        raise ModelSourceError(
            f"{folder / CONFIG_FILE}: not a configuration; copy the adapter anew"
        )
    return config


def _scale(config: dict[str, Any], path: str, rank: int) -> float:
    alpha = _of_layer(config, "lora_alpha", "alpha_pattern", path)
    stated = _of_layer(config, "r", "rank_pattern", path)
    if stated != rank:
        raise ValueError(f"the configuration says rank {stated:g}, the weights have {rank}")
    if not 0 < alpha <= MOST_ALPHA:
        raise ValueError(f"lora_alpha is {alpha}")
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _of_layer(config: dict[str, Any], name: str, patterns: str, path: str) -> float:
    """A number of the configuration for one layer.

    As peft matches patterns, for plain ends of a layer's path; a file's regular expressions are not
    run.

    Raises:
        ValueError: a pattern is more than a name, or its value no number.
    """
    for end, value in (config.get(patterns) or {}).items():
        if not _PLAIN.fullmatch(end):
            raise ValueError(f"{patterns} {end!r} is no plain name")
        if path == end or path.endswith(f".{end}"):
            return float(value)
    return float(config[name])


def with_adapter(model: Any, folder: Path | None) -> Any:
    """A copy of `model` with the adapter merged into its weights (or `model` itself without one).

    The base path inside adapter_config.json is never followed: the model that was given is the
    base.
    """
    if folder is None:
        return model
    from peft import PeftModel

    check_adapter_folder(folder)
    return PeftModel.from_pretrained(copy.deepcopy(model), str(folder)).merge_and_unload().eval()
