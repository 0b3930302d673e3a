"""Writing a file or a folder whole: a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) to `path` under a temporary name, then rename it.

    Parent folders are made. A failed write leaves the old file as it was.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with whole_file(path) as part:
        part.write_bytes(data)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it at the end of the block.

    On an error it is removed, and the old file stays.

    Raises:
        OSError: it could not be written, or `path` is a link, which would be lost.
    """
    _require_no_link(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path)
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path, previous: Path | None = None) -> Iterator[Path]:
    """A temporary folder beside `folder`, put in its place at the end of the block.

    On an error it is removed, and the old folder stays. What `folder` held before is deleted only
    once the new one is in its place, or kept as `previous`, in the place of an earlier one.

    Raises:
        OSError: the new folder could not be put in its place, or that is a link, which would be
            lost.
    """
    _require_no_link(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(folder)
    part.mkdir()
    try:
        yield part
        for file in sorted(part.rglob("*")):
            if file.is_file():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        old = part.with_suffix(".old")
        if folder.exists():
            folder.rename(old)
        try:
            part.rename(folder)
        except BaseException:  # Ctrl-C between the two, for one
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise
        if previous is not None and old.exists():
            shutil.rmtree(previous, ignore_errors=True)
            old.rename(previous)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _require_no_link(path: Path) -> None:
    if path.is_symlink():
        why = "is a link, which would be replaced; name what it leads to"
        raise OSError(errno.ELOOP, why, str(path))


def _beside(path: Path) -> Path:
    """A new name in the same folder, hidden.

    With the plain permissions that a file made there gets.
    """
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
