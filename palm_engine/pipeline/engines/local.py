"""Tasks in a few processes of one thread each.

Faster on a CPU than one process with many threads.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_end
from typing import Any

from palm_engine.errors import GenerationError
from palm_engine.pipeline.engines.interface import Result, Task
from palm_engine.pipeline.engines.worker import begin


class LocalEngine:
    """Processes of this machine.

    Args:
        workers: how many at most.
    """

    # The build's own process scores: reward models are shared with what else it does.
    scores = False

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        progress: Callable[[float], None] = lambda _: None,
    ) -> Iterator[tuple[Task, Result]]:
        """See Engine.

        Raises:
            GenerationError: a process was ended from outside, as by a system that is out of memory.
        """
        if not tasks:
            return
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        context = multiprocessing.get_context("spawn")
        amounts = context.Queue()
        stopped = context.Event()
        with ProcessPoolExecutor(
            min(self.workers, len(tasks)),
            mp_context=context,
            initializer=_start_worker,
            initargs=(amounts, stopped),
        ) as pool:
            futures = {pool.submit(work, task): task for task in tasks}
            try:
                while futures:
                    done, _ = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
                    _drain(amounts, progress)
                    for future in done:
                        yield futures.pop(future), future.result()
            except BrokenProcessPool as error:
                raise GenerationError(
                    "a process was ended from outside, perhaps for want of memory; what is"
                    " finished is kept: run the same again, with fewer run.workers or a smaller"
                    " run.batch_size"
                ) from error
            except BaseException:
                # Also on Ctrl-C: what is finished was already written, the rest is not begun, and
                # what is in hand ends now: nobody waits for an hour of training.
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        # A result can be here before the progress that came with it: now all of it was sent.
        _drain(amounts, progress)

    def once(self, work: Callable[[Task], Result], task: Task) -> Result:
        """See Engine: here, in this process."""
        return work(task)


def _drain(amounts: Any, progress: Callable[[float], None]) -> None:
    while True:
        try:
            progress(amounts.get_nowait())
        except queue.Empty:
            return


def _end_when_told(stopped: Any) -> None:
    """End this process when it is told to, or the one that started it is gone, however that ended.

    It would go on for an hour otherwise, beside a repeated command that does the same work. All
    that it writes is written whole.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def after(wait_for: Callable[[], object]) -> None:
        wait_for()
        os._exit(1)

    for wait_for in (stopped.wait, lambda: wait_for_end([parent.sentinel])):
        threading.Thread(target=after, args=(wait_for,), name="palm-end", daemon=True).start()


def _start_worker(amounts: Any, stopped: Any) -> None:
    # Ctrl-C is for the process that was asked, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_when_told(stopped)
    begin(amounts)
