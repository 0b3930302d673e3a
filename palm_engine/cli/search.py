"""A search in a thread: it shows its best and its bound while it runs, and Ctrl-C keeps the best.

The solver's own code doesn't listen to Ctrl-C, so the main thread does.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from rich.console import Console

from palm_engine.selection.result import Selection

Result = TypeVar("Result")
Found = Callable[[Selection], None]
WAIT = 0.1
# As a shell reports a program that Ctrl-C ended.
INTERRUPTED = 130


def searched(
    work: Callable[[Found], Result],
    console: Console | None,
    title: str,
    best: Callable[[Selection | None], Result],
) -> tuple[Result, bool]:
    """The result of `work`, or after Ctrl-C what `best` makes of the last that was found.

    Args:
        work: gets a function to report what was found so far to.
        console: shows how the search stands; None shows nothing.
        title: what is being done.
        best: a result from the last that was found; raises KeyboardInterrupt where it makes none.

    Returns:
        The result, and whether Ctrl-C ended it.
    """
    last: list[Selection] = []
    outcome: list[Result] = []
    failure: list[BaseException] = []
    started = time.monotonic()

    def inside() -> None:
        try:
            outcome.append(work(lambda selection: last.__setitem__(slice(None), [selection])))
        except BaseException as error:  # raised again where it was asked for
            failure.append(error)

    thread = threading.Thread(target=inside, daemon=True)
    status = None if console is None else console.status(title)
    try:
        if status is not None:
            status.start()
        thread.start()
        while thread.is_alive():
            thread.join(WAIT)
            if status is not None and last:
                status.update(f"{title}: {standing(last[0])}, {time.monotonic() - started:.0f} s")
    except KeyboardInterrupt:
        return best(last[0] if last else None), True
    finally:
        if status is not None:
            status.stop()
    if failure:
        raise failure[0]
    return outcome[0], False


def leave() -> NoReturn:
    """End the program at once: the solver's thread is still at work, and can't be stopped."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def standing(selection: Selection) -> str:
    """How a search stands: its best and its bound."""
    size = len(selection.members)
    if selection.size_lower_bound is not None:
        return f"{size} found, at least {selection.size_lower_bound} needed"
    low = selection.gap_lower_bound or 0.0
    return f"best {size}: worst gap {selection.gap.additive:.4f}, none below {low:.4f}"
