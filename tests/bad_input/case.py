"""A case of the corpus, and how it is run: within memory and time, as a user would."""

from __future__ import annotations

import contextlib
import io
import re
import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import pytest

from palm_engine.cli import main as cli

SECONDS = 30
BYTES = 4_000_000_000
LONGEST = 2_100  # letters of a message


@dataclass(frozen=True)
class Case:
    """A wrong input.

    Attributes:
        name: what is wrong.
        make: writes what is needed into a folder, and gives the command line.
        message: a regular expression that the message has.
        status: exit status.
    """

    name: str
    make: Callable[[Path], list[object]]
    message: str
    status: int = 2


@dataclass(frozen=True)
class Outcome:
    """What a command did: exit status, standard output and error, and a traceback if it had one."""

    status: int
    out: str
    err: str
    traceback: str


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """At most BYTES more memory than now, and SECONDS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

    def late(_: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"still running after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, hard))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def run(arguments: list[object]) -> Outcome:
    """Run `palm` with arguments in this process."""
    out = io.StringIO()
    err = io.StringIO()
    status = 0
    trace = ""
    with (
        patch("sys.argv", ["palm", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        limits(),
    ):
        try:
            cli.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        except BaseException:
            status = 1
            trace = traceback.format_exc()
    return Outcome(status, out.getvalue(), " ".join(err.getvalue().split()), trace)


def check(case: Case, folder: Path) -> None:
    """Run a case in an empty folder: what, where and how to fix it, and nothing else."""
    found = run(case.make(folder))
    assert not found.traceback, found.traceback
    assert found.status == case.status, (found.out[-500:], found.err[-500:])
    assert re.search(case.message, found.err or found.out), found.err
    assert len(found.err) <= LONGEST
    left = [p.name for p in folder.rglob("*") if p.name.endswith((".part", ".old"))]
    assert not left, "nothing half-written is left behind"


def spread(areas: dict[str, list[Case]]) -> list[Any]:
    """The cases as parameters of a test; all but every fifth are slow."""
    cases = [(f"{area}: {case.name}", case) for area, found in areas.items() for case in found]
    names = [name for name, _ in cases]
    assert len(set(names)) == len(names), "two cases share a name"
    return [
        pytest.param(case, id=name, marks=() if i % 5 == 0 else pytest.mark.slow)
        for i, (name, case) in enumerate(cases)
    ]
