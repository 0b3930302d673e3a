"""LoRA adapters on disk and on the base model (peft, safetensors only)."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

from palm_engine.errors import ModelSourceError

WEIGHTS_FILE = "adapter_model.safetensors"


def check_adapter_folder(folder: Path) -> None:
    """Raise ModelSourceError unless `folder` holds a LoRA adapter in safetensors."""
    for name in ("adapter_config.json", WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ModelSourceError(f"{folder}: {name} is missing; an adapter folder holds it and safetensors only")


def adapter_sha256(folder: Path) -> str:
    """Hash of an adapter's weights, kept in the bundle so that a changed adapter is noticed."""
    return hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()


def with_adapter(model: Any, folder: Path | None) -> Any:
    """A copy of `model` with the adapter merged into its weights (or `model` itself without one).

    The base path inside adapter_config.json is never followed: the model that was given is the base.
    """
    if folder is None:
        return model
    from peft import PeftModel

    check_adapter_folder(folder)
    return PeftModel.from_pretrained(copy.deepcopy(model), str(folder)).merge_and_unload().eval()
