"""The build's work folder: results are kept under a key of what they were made from.

Beside each lies that key and a checksum of the result: what was damaged or changed since is made
anew, like what isn't there.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from palm_engine._files import whole_file, write_whole
from palm_engine.bundle.folder import MANIFEST_FILE
from palm_engine.errors import ConfigError

# Of results that are made anew.
MOST_NAMED = 4


class Store:
    """Results of stages in one folder.

    A result is written under a temporary name and renamed when complete.

    Args:
        folder: made if it isn't there.

    Raises:
        ConfigError: it is a bundle, whose files would be written over.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._anew: dict[str, str] = {}
        if (folder / MANIFEST_FILE).exists():
            raise ConfigError(f"{folder}: is a bundle; name another folder to work in (--work)")
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where the result `name` is kept, its parent folder made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def is_current(self, name: str, key: str) -> bool:
        """Whether `name` is there, whole, and was made from what `key` describes."""
        mark = self.path(name + ".key")
        try:
            # A key may hold spaces, as a reward's own fingerprint; a checksum has none.
            known, _, checksum = mark.read_text(encoding="utf-8").strip().rpartition(" ")
            whole = checksum == _checksum(self.path(name))
        except (OSError, UnicodeDecodeError):
            return False
        if known == key and whole:
            return True
        self._anew[name] = "what it depends on has changed" if whole else "it isn't whole"
        return False

    def say(self, note: Callable[[str], None]) -> None:
        """Say which results are made anew, and why, since this was last asked.

        Args:
            note: gets a sentence for each reason.
        """
        for reason in dict.fromkeys(self._anew.values()):
            names = [n for n, r in self._anew.items() if r == reason]
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            note(f"Made anew, as {reason}: {', '.join(names[:MOST_NAMED])}{more}")
        self._anew.clear()

    def begin(self, name: str) -> None:
        """Forget that `name` was complete: it is about to be replaced."""
        self.path(name + ".key").unlink(missing_ok=True)

    def finish(self, name: str, key: str) -> None:
        """Mark `name`, already in place, as complete for `key`."""
        write_whole(self.path(name + ".key"), f"{key} {_checksum(self.path(name))}\n")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from working in the folder, for as long as the context lasts.

        The system takes the lock back from a process that ended in any way.

        Raises:
            ConfigError: another process works there; names it.
        """
        from filelock import FileLock, Timeout

        holder = self.path(".holder")
        try:
            with FileLock(self.path(".lock"), timeout=0):
                write_whole(holder, f"process {os.getpid()} on {platform.node()}\n")
                yield
        except Timeout as error:
            who = holder.read_text(encoding="utf-8").strip() if holder.is_file() else "a process"
            raise ConfigError(
                f"{self.folder}: {who} works there; wait for it, stop it, or name another --work"
            ) from error

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


def _checksum(path: Path) -> str:
    """Of a file, or of all files below a folder with their names.

    Raises:
        OSError: something isn't there, or can't be read.
    """
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        digest.update(str(file.relative_to(path)).encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


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
