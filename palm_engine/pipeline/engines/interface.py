"""The interface of every engine: tasks in, results out as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs tasks somewhere.

    Attributes:
        scores: whether scoring is spread over it too, or done where the build runs.
    """

    scores: bool

    def run(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        progress: Callable[[float], None] = lambda _: None,
    ) -> Iterator[tuple[Task, Result]]:
        """Yield (task, result) as each is done; the rest is cancelled on an error.

        Args:
            work: a function of a module. The same task gives the same result, wherever it runs on
                the same kind of device.
            tasks: what it is called with.
            progress: gets the amounts that tasks report, as they come.

        Raises:
            PalmError: what a task raised.
            GenerationError: what runs tasks was lost, more often than it was tried again.
        """
        ...

    def once(self, work: Callable[[Task], Result], task: Task) -> Result:
        """The result of one task, run where tasks run, as what there is to know of the device."""
        ...
