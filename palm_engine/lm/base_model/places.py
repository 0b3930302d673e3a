"""Where base models are kept, and the fingerprint that says which base an adapter is for."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from palm_engine._files import write_whole
from palm_engine._json import read_json
from palm_engine.errors import ModelSourceError

DEMO_BASE = "smollm2-135m-instruct"
_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")
# What says how a model is asked and read, beside its weights.
SETTINGS = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "chat_template.*",
)
_UNTOLD = ("transformers_version", "_name_or_path")
WHOLE = "copy the model's folder as a whole"


def cache_folder() -> Path:
    """Where converted models live.

    `PALM_CACHE`, or the user's cache folder of the operating system.
    """
    if os.environ.get("PALM_CACHE"):
        return Path(os.environ["PALM_CACHE"]).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("palm-atlas")


def missing_files(folder: Path) -> list[str]:
    """What a folder lacks to be a whole model: configuration, safetensors, every shard.

    Args:
        folder: of a model as transformers saves it.
    """
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            return missing + [s for s in shards_of(index) if not (folder / s).is_file()]
        except ModelSourceError:
            return [*missing, f"a readable {index.name}"]
    found = sorted(file.name for file in folder.glob("*.safetensors"))
    if not found:
        missing.append("*.safetensors")
    # Parts of a model without the index that names them all.
    parts = [m for name in found if (m := _PART.fullmatch(name))]
    if parts:
        missing.append(index.name)
        begin, _, count = parts[0].groups()
        names = [f"{begin}-{i:05d}-of-{count}.safetensors" for i in range(1, int(count) + 1)]
        missing += [name for name in names if name not in found]
    return missing


def shape_of(folder: Path) -> dict[str, Any]:
    """The configuration of a base model: its kind and its sizes.

    Args:
        folder: of the base model.

    Raises:
        ModelSourceError: it can't be read, or is none.
    """
    path = folder / "config.json"
    shape = read_json(path, ModelSourceError, WHOLE)
    if not isinstance(shape, dict):
        raise ModelSourceError(f"{path}: no configuration; {WHOLE}")
    most = shape.get("max_position_embeddings")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise ModelSourceError(
            f"{path}: max_position_embeddings is {str(most)[:80]!r}, no count of tokens; {WHOLE}"
        )
    return shape


def shards_of(index: Path) -> list[str]:
    """The files that an index names, each in the index' own folder.

    Raises:
        ModelSourceError: it can't be read, or names something else.
    """
    content = read_json(index, ModelSourceError, WHOLE)
    try:
        shards = sorted(set(content["weight_map"].values()))
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelSourceError(f"{index}: no index of safetensors files") from error
    for shard in shards:
        if not isinstance(shard, str) or Path(shard).name != shard or not shard:
            raise ModelSourceError(
                f"{index}: names {str(shard)[:80]!r}, which is no file beside it"
            )
    return shards


def settings_sha256(folder: Path) -> str:
    """Sha256 over what says how a model is asked: configuration, tokenizer, chat template.

    Beside `fingerprint`, which is of its weights. The version of transformers that wrote the
    configuration doesn't count.

    Args:
        folder: of the model.
    """
    digest = hashlib.sha256()
    for file in sorted({f for pattern in SETTINGS for f in folder.glob(pattern) if f.is_file()}):
        content = file.read_bytes()
        if file.name == "config.json":
            known = {k: v for k, v in shape_of(folder).items() if k not in _UNTOLD}
            content = json.dumps(known, sort_keys=True).encode()
        digest.update(f"{file.name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def fingerprint(folder: Path) -> str:
    """Sha256 over the names and bytes of a folder's safetensors files; kept beside them."""
    files = sorted(folder.glob("*.safetensors"))
    stamp = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    kept = folder / "fingerprint.json"
    if kept.is_file():
        try:
            known = json.loads(kept.read_text(encoding="utf-8"))
            if known["stamp"] == stamp and re.fullmatch("[0-9a-f]{64}", known["sha256"]):
                return str(known["sha256"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass  # worked out anew
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    if os.access(folder, os.W_OK):
        write_whole(kept, json.dumps({"sha256": digest.hexdigest(), "stamp": stamp}))
    return digest.hexdigest()
