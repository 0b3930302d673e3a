"""What long work reports to: a terminal's progress bars, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """What a build reports to: a terminal's progress bars, or nothing."""

    def stage(self, title: str, total: float) -> Callable[[float], None]:
        """Begin a stage of `total` units; the returned function is given the amounts done."""
        ...

    def note(self, text: str) -> None:
        """A line of information."""
        ...
