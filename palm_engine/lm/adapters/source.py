"""Where an adapter comes from: a local folder, or a repository on the Hugging Face hub."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from palm_engine._files import whole_folder
from palm_engine._json import reason
from palm_engine._types import Notice
from palm_engine.errors import ModelSourceError
from palm_engine.lm.adapters.files import CONFIG_FILE, WEIGHTS_FILE, read_adapter
from palm_engine.lm.base_model import hub
from palm_engine.lm.base_model.places import cache_folder


def resolve_adapter(source: str, project: Path = Path("."), report: Notice = print) -> Path:
    """The local folder of an adapter, fetched where it isn't here, and read once.

    Args:
        source: a folder with a PEFT LoRA adapter (links in it are followed, as the hub's cache has
            them), or a Hugging Face id (`owner/name`); of a
            repository only the adapter's two files are fetched.
        project: folder that a relative path starts from.
        report: gets sentences on what is done.

    Raises:
        ModelSourceError: it can't be had, or is no adapter that can be run.
    """
    folder = project / Path(source).expanduser()
    if not folder.is_dir():
        if not hub.is_hub_id(source):
            raise ModelSourceError(
                f"adapter {source!r}: neither a local folder nor a Hugging Face id (owner/name)"
            )
        report(f"Looking for the adapter {source} (Hugging Face hub or its local cache)")
        # A folder of files: links, as in the hub's cache, are never read as adapters.
        place = cache_folder() / "adapters" / source.replace("/", "--")
        folder = hub.fetch(source, "adapter", (CONFIG_FILE, WEIGHTS_FILE), place)
        if not (folder / WEIGHTS_FILE).is_file():
            raise ModelSourceError(
                f"adapter {source!r}: the repository holds no {WEIGHTS_FILE}; only safetensors are"
                " read (no pickle)"
            )
    if any((folder / name).is_symlink() for name in (CONFIG_FILE, WEIGHTS_FILE)):
        folder = _copied(folder)
    read_adapter(folder)
    return folder


def _copied(folder: Path) -> Path:
    """The two files that a folder of links leads to, as the hub's cache has them, as files.

    Raises:
        ModelSourceError: they can't be read.
    """
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    place = cache_folder() / "adapters" / f"linked-{name}"
    try:
        with whole_folder(place) as part:
            for file in (CONFIG_FILE, WEIGHTS_FILE):
                shutil.copyfile(folder / file, part / file)
    except OSError as error:
        raise ModelSourceError(f"{folder}: can't be read ({reason(error)})") from error
    return place
