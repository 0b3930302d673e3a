"""Where base models are kept, and the fingerprint that says which base an adapter is for."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from palm_engine._files import write_whole

DEMO_BASE = "smollm2-135m-instruct"


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
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError):
            return [*missing, f"a readable {index.name}"]
        return missing + sorted(s for s in shards if not (folder / str(s)).is_file())
    if not list(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    return missing


def fingerprint(folder: Path) -> str:
    """Sha256 over the names and bytes of a folder's safetensors files; kept beside them."""
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
        write_whole(kept, json.dumps({"sha256": digest.hexdigest(), "stamp": stamp}))
    return digest.hexdigest()
