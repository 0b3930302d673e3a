"""The build's work folder: results are kept under a key of what they were made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from palm_engine._files import whole_file, write_whole


class Store:
    """Results of stages in one folder.

    A result is written under a temporary name and renamed when complete.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where the result `name` is kept, its parent folder made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def is_current(self, name: str, key: str) -> bool:
        """Whether `name` is there and was made from what `key` describes."""
        mark = self.path(name + ".key")
        return self.path(name).exists() and mark.is_file() and mark.read_text().strip() == key

    def begin(self, name: str) -> None:
        """Forget that `name` was complete: it is about to be replaced."""
        self.path(name + ".key").unlink(missing_ok=True)

    def finish(self, name: str, key: str) -> None:
        """Mark `name`, already in place, as complete for `key`."""
        write_whole(self.path(name + ".key"), key + "\n")

    def put_table(self, name: str, key: str, frame: pd.DataFrame) -> None:
        """Write a table as Parquet, whole or not at all."""
        self.begin(name)
        with whole_file(self.path(name)) as part:
            frame.to_parquet(part, index=False)
        self.finish(name, key)

    def table(self, name: str, key: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The kept table for `key`, or `make()` kept."""
        if not self.is_current(name, key):
            self.put_table(name, key, make())
        return pd.read_parquet(self.path(name))

    def put_json(self, name: str, key: str, content: Any) -> None:
        """Write JSON, whole or not at all."""
        self.begin(name)
        write_whole(self.path(name), json.dumps(content, default=_plain, indent=1) + "\n")
        self.finish(name, key)

    def read_json(self, name: str) -> Any:
        """A kept JSON result."""
        return json.loads(self.path(name).read_text(encoding="utf-8"))


def key_of(*parts: Any) -> str:
    """A short stable hash of plain values, dataclasses and arrays."""
    return hashlib.sha256(json.dumps(parts, default=_plain, sort_keys=True).encode()).hexdigest()[
        :16
    ]


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, Path):
        return value.name
    return value.tolist() if hasattr(value, "tolist") else str(value)
