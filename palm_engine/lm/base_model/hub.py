"""Base models and adapters from the Hugging Face hub.

Safetensors and text files only, fetched only where a user asked for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from palm_engine._types import Notice
from palm_engine.errors import ModelSourceError
from palm_engine.lm.base_model.places import missing_files

PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


def is_hub_id(source: str) -> bool:
    """Whether `source` has the form `owner/name`."""
    return _ID.fullmatch(source) is not None


def endpoint() -> str:
    """The hub's address, or the mirror that HF_ENDPOINT names."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def cached_folder(source: str) -> Path | None:
    """The model's folder in the local Hugging Face cache.

    None where it isn't there with all its weights.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError:
        return None
    try:
        folder = Path(
            snapshot_download(source, allow_patterns=list(PATTERNS), local_files_only=True)
        )
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    return None if missing_files(folder) else folder


def download_bytes(source: str) -> int | None:
    """How many bytes would be fetched.

    None where the hub doesn't say (no network, no such model).
    """
    from fnmatch import fnmatch

    try:
        from huggingface_hub import HfApi

        info = HfApi(endpoint=endpoint()).model_info(source, files_metadata=True, timeout=5)
    except Exception:  # whatever the network does, the size is then unknown, and said to be
        return None
    wanted = [f for f in info.siblings or [] if any(fnmatch(f.rfilename, p) for p in PATTERNS)]
    return sum(f.size or 0 for f in wanted) or None


def resolve(source: str, report: Notice) -> Path:
    """The model's local folder, fetched from the hub where it isn't in the cache.

    Raises:
        ModelSourceError: the model is not on the hub, not reachable, or has no safetensors.
    """
    report(f"Looking for {source} (Hugging Face hub or its local cache)")
    folder = fetch(source, "base model", PATTERNS)
    if not list(folder.glob("*.safetensors")):
        raise ModelSourceError(
            f"base model {source!r} has no safetensors weights; only those are loaded (no pickle)."
            " Convert it with save_pretrained(..., safe_serialization=True) and give the local"
            " folder."
        )
    return folder


def fetch(source: str, what: str, patterns: Sequence[str], into: Path | None = None) -> Path:
    """Files of a repository in a local folder, fetched where they aren't there.

    Args:
        source: `owner/name`.
        what: that is fetched, for the message.
        patterns: of file names.
        into: the folder; the hub's own cache, which holds links, if not given.

    Raises:
        ModelSourceError: the repository is not on the hub, or not reachable.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        folder = snapshot_download(
            source, allow_patterns=list(patterns), endpoint=endpoint(), local_dir=into
        )
        return Path(folder)
    except (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        OSError,
    ) as error:
        raise ModelSourceError(
            f"{what} {source!r} is neither in the local Hugging Face cache nor reachable on the"
            f" hub: {type(error).__name__}. Check the id and the network, or give a local folder."
        ) from error
