"""The base model: resolves a name to a local folder of safetensors, and loads it.

`smollm2-135m-instruct` is the demo's base (`demo_base.py`); any local folder or Hugging Face id (`hub.py`) works too.
Weights are safetensors only and no code of a model is run. The fingerprint says which base an adapter belongs to.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_engine.errors import ModelSourceError

DEMO_BASE = "smollm2-135m-instruct"

Report = Callable[[str], None]


@dataclass(frozen=True)
class BaseModel:
    """A loaded base: `model` and `tokenizer` are transformers objects, `fingerprint` a sha256 of its tensors."""

    source: str
    folder: Path
    fingerprint: str
    model: Any
    tokenizer: Any


def cache_folder() -> Path:
    """Where converted models live: `PALM_CACHE`, or the user's cache folder of the operating system."""
    if os.environ.get("PALM_CACHE"):
        return Path(os.environ["PALM_CACHE"]).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("palm-atlas")


def is_ready(source: str) -> bool:
    """Whether `source` can be loaded without fetching or converting anything."""
    if source == DEMO_BASE:
        return (cache_folder() / DEMO_BASE / "fingerprint.json").is_file()
    if Path(source).expanduser().is_dir():
        return True
    from palm_engine.lm import hub

    return hub.is_hub_id(source) and hub.cached_folder(source) is not None


def resolve_base(source: str, report: Report = print, download: bool = True) -> Path:
    """Return the local folder of `source`, fetching and converting on first use where `download` allows it.

    `source` is `smollm2-135m-instruct`, a local folder, or a Hugging Face id (`owner/name`).
    Raises ModelSourceError when it cannot be had; a failed or cut fetch leaves nothing behind.
    """
    if not download and not is_ready(source):
        from palm_engine.lm.source import describe

        raise ModelSourceError(
            f"{describe(source).words} It isn't on this machine, and is only fetched when you say so."
        )
    if source == DEMO_BASE:
        from palm_engine.lm import demo_base

        return demo_base.resolve(report)
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not list(folder.glob("*.safetensors")):
            raise ModelSourceError(
                f"{folder}: no .safetensors file there; only safetensors weights are loaded (no pickle). "
                "Convert the model with save_pretrained(..., safe_serialization=True)."
            )
        return folder
    from palm_engine.lm import hub

    if hub.is_hub_id(source):
        # Without leave to download, nobody is asked either: a newer revision would be fetched.
        cached = hub.cached_folder(source)
        return cached if cached is not None and not download else hub.resolve(source, report)
    raise ModelSourceError(
        f"base model {source!r}: not a local folder, not a Hugging Face id (owner/name), and not {DEMO_BASE!r}"
    )


def load_base(
    source: str,
    report: Report = print,
    dtype: str = "auto",
    *,
    device: str | None = None,
    threads: int | None = None,
    download: bool = True,
) -> BaseModel:
    """Load `source` for inference or training, in `dtype` (one of `devices.DTYPES`).

    `device` is `cpu`, `cuda`, `mps`, "spread" (over several GPUs, accelerate's device_map="auto") or None
    (`devices.pick_device`). Raises ModelSourceError.
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
        folder, dtype=pick_dtype(device, dtype), trust_remote_code=False, use_safetensors=True,
        **({"device_map": "auto"} if spread else {}),
    )  # fmt: skip
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


def fingerprint(folder: Path) -> str:
    """Sha256 over the names and bytes of the folder's safetensors files, kept beside them once computed."""
    files = sorted(folder.glob("*.safetensors"))
    stamp = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    kept = folder / "fingerprint.json"
    if kept.is_file():
        known = json.loads(kept.read_text())
        if known.get("stamp") == stamp:
            return str(known["sha256"])
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    if os.access(folder, os.W_OK):
        _write_atomically(kept, json.dumps({"sha256": digest.hexdigest(), "stamp": stamp}))
    return digest.hexdigest()


def _write_atomically(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
