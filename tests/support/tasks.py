"""Tasks for engines: functions of a module, as workers need them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from palm_engine.errors import ModelSourceError
from palm_engine.pipeline.engines.worker import report_progress


@dataclass(frozen=True)
class Number:
    """A number to square, and a folder that says who did."""

    value: int
    folder: Path


def square(task: Number) -> tuple[int, int]:
    """The square, and the process that worked it out; halves are reported."""
    report_progress(0.5)
    report_progress(0.5)
    return task.value**2, os.getpid()


def refuse(task: Number) -> int:
    """Fails for 3, as a stage would."""
    if task.value == 3:
        raise ModelSourceError("3 can't be squared: give another number")
    return task.value**2


def die_once(task: Number) -> tuple[int, int]:
    """Kills its process the first time; the second time it answers."""
    mark = task.folder / f"died-{task.value}"
    if not mark.exists():
        mark.touch()
        report_progress(0.5)
        time.sleep(0.3)  # until what was reported is on its way
        os.kill(os.getpid(), signal.SIGKILL)
    report_progress(1.0)
    return task.value**2, os.getpid()


def always_die(task: Number) -> int:
    """Kills its process, every time."""
    os.kill(os.getpid(), signal.SIGKILL)
    return task.value


def slow(task: Number) -> str:
    """Leaves a mark when it begins, and takes long."""
    (task.folder / f"began-{task.value}").touch()
    time.sleep(0 if task.value == 0 else 60)
    return "done"


def where(_: None) -> str:
    """The folder that relative paths start from."""
    return str(Path.cwd())
