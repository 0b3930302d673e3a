"""Writing a file or a folder whole: a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import ctypes
import errno
import glob
import hashlib
import os
import platform
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of this machine, in the names of what is being written: others' processes aren't known here.
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]


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
        OSError: it could not be written, or `path` is a link, a device or a folder, which would be
            lost.
    """
    _require_no_link(path)
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no file, but a device or a pipe"
        raise OSError(errno.EEXIST, f"is {kind}; name a file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path)
    try:
        yield part
        _sync_file(part)
        part.replace(path)
        _sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path, previous: Path | None = None) -> Iterator[Path]:
    """A temporary folder beside `folder`, put in its place at the end of the block.

    On an error it is removed, and the old folder stays. Where the system can, the two change places
    in one step, so that there is one of them at every moment. What `folder` held before is deleted
    only then, or kept as `previous`, in the place of an earlier one; whatever stops this, it is
    there under one of these names, or as `.NAME....old`.

    Raises:
        OSError: the new folder could not be put in its place, or that is a link, which would be
            lost.
    """
    _require_no_link(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(folder)
    part = _beside(folder)
    part.mkdir()
    old = part.with_suffix(".old")
    try:
        yield part
        for held in sorted(part.rglob("*")):
            _sync_folder(held) if held.is_dir() else _sync_file(held)
        _sync_folder(part)
        try:
            _put(part, folder, old)
        finally:
            if previous is not None and old.exists() and folder.exists():
                _put(old, previous, part)
        _sync_folder(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _put(new: Path, folder: Path, old: Path) -> None:
    """Give a folder its final name; what had that name before is called `old` then."""
    if not folder.exists():
        new.rename(folder)
        return
    made = new.stat().st_ino
    try:
        # Under this name already while they change places: nothing clears it away.
        new.rename(old)
        if _exchange(old, folder):
            return
        old.rename(new)
        folder.rename(old)
        new.rename(folder)
    except BaseException:  # Ctrl-C between two of them, for one
        if old.exists() and old.stat().st_ino == made:
            old.rename(new)
        elif old.exists() and not folder.exists():
            old.rename(folder)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; false where the system or file system can't.

    By renameat2(2) with RENAME_EXCHANGE on Linux, renamex_np(2) with RENAME_SWAP on macOS.
    """
    if os.name != "posix":
        return False
    system = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one), os.fsencode(other)
    exchange = 2
    if hasattr(system, "renameat2"):
        here = -100  # AT_FDCWD
        status = system.renameat2(here, paths[0], here, paths[1], exchange)
    elif hasattr(system, "renamex_np"):
        status = system.renamex_np(*paths, exchange)
    else:
        return False
    return bool(status == 0)


def _sync_file(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring a folder's new names to the disk, where the system lets a folder be opened.

    Raises:
        OSError: they could not be written.
    """
    if os.name != "posix":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(opened)


def check_writable(path: Path) -> None:
    """Check that something new can be put beside `path`, before there is anything to write.

    Raises:
        OSError: it can't; says why.
    """
    place = next((p for p in path.absolute().parents if p.exists()), Path("/"))
    trial = _beside(place / path.name)
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        why = f"can't be written ({error.strerror})"
        raise OSError(error.errno or errno.EACCES, why, str(path)) from error


def _require_no_link(path: Path) -> None:
    if path.is_symlink():
        why = "is a link, which would be replaced; name what it leads to"
        raise OSError(errno.ELOOP, why, str(path))


def _beside(path: Path) -> Path:
    """A new name in the same folder, hidden, that says which process writes.

    With the plain permissions that a file made there gets.
    """
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{uuid.uuid4().hex[:8]}.part")


def _clear_abandoned(folder: Path) -> None:
    """Remove what processes of this machine that were killed have left half-written."""
    if os.name != "posix":
        return
    begin = f".{folder.name}.{_HOST}-"
    for left in folder.parent.glob(f"{glob.escape(begin)}*.part"):
        number = left.name.removeprefix(begin).partition("-")[0]
        if number.isdecimal() and not _runs(int(number)):
            shutil.rmtree(left, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
