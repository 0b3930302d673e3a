"""A real PostgreSQL server of a test's own, on a socket in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

# Where CI has installed it; elsewhere its tests are left out.
REQUIRED = bool(os.environ.get("PALM_REQUIRE_POSTGRES"))


def programs() -> Path | None:
    """The folder of PostgreSQL's own programs; None where it isn't installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if found:
        return found[-1]
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database. PostgreSQL never runs as root: Debian's user does it then."""
    bin_folder = programs()
    if bin_folder is None:
        if REQUIRED:
            pytest.fail("PostgreSQL isn't installed, and PALM_REQUIRE_POSTGRES is set")
        pytest.skip("needs PostgreSQL (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="palm-pg-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    # psycopg needs a name; the server's superuser is called after it.
    make = ["initdb", "-D", data, "-U", "palm", "-A", "trust", "--no-sync", "-E", "UTF8"]
    _run(bin_folder, make, user)
    # No port: nothing else on the machine can be in the way, or reach it.
    options = f"-c listen_addresses= -c fsync=off -k {folder}"
    start = ["pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start"]
    _run(bin_folder, start, user)
    try:
        yield f"postgresql://palm@/postgres?host={folder}"
    finally:
        _run(bin_folder, ["pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], user)
        shutil.rmtree(folder, ignore_errors=True)


def _run(bin_folder: Path, words: Sequence[object], user: str | None) -> None:
    command = [str(bin_folder / str(words[0])), *map(str, words[1:])]
    done = subprocess.run(
        command,
        user=user,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
