"""Small and read-only disks, where a test may mount some."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def disk(place: Path) -> Iterator[Path]:
    """A disk of its own at an empty folder; skips the test where none may be mounted."""
    place.mkdir()
    mount(place, "size=64m")
    try:
        yield place
    finally:
        if place.is_mount():
            subprocess.run(["umount", str(place)], check=True)


def mount(place: Path, options: str) -> None:
    """Mount a disk with these options, or give the one that is there these."""
    how = "remount," if place.is_mount() else ""
    words = ["mount", "-t", "tmpfs", "-o", how + options, "palm", str(place)]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a disk")
