"""Runs model work in a few processes of one thread each.

Faster on a CPU than one process with many threads.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_end
from typing import Any, TypeVar

from palm_engine.errors import GenerationError
from palm_engine.lm.settings import TemplateSettings

Task = TypeVar("Task")
Result = TypeVar("Result")

_base: Any = None
_loaded: Any = None
_progress: Any = None


def run_tasks(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    progress: Callable[[float], None] = lambda _: None,
) -> Iterator[tuple[Task, Result]]:
    """Yield (task, result) as each is done; `work` must be a module-level function.

    Cancels the rest on an error.

    `progress` gets the amounts that workers pass to `report_progress`, as they come.

    Raises:
        GenerationError: a process was ended from outside, as by a system that is out of memory.
    """
    if not tasks:
        return
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    context = multiprocessing.get_context("spawn")
    amounts = context.Queue()
    with ProcessPoolExecutor(
        min(workers, len(tasks)),
        mp_context=context,
        initializer=_start_worker,
        initargs=(amounts,),
    ) as pool:
        futures = {pool.submit(work, task): task for task in tasks}
        try:
            while futures:
                done, _ = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
                _drain(amounts, progress)
                for future in done:
                    yield futures.pop(future), future.result()
            _drain(amounts, progress)
        except BrokenProcessPool as error:
            raise GenerationError(
                "a process was ended from outside, perhaps for want of memory; what is"
                " finished is kept: run the same again, with fewer run.workers or a smaller"
                " run.batch_size"
            ) from error
        except BaseException:
            # Also on Ctrl-C: what is finished was already written, the rest is not begun.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def report_progress(amount: float) -> None:
    """Called in a worker: `amount` more of its work is done."""
    if _progress is not None:
        _progress.put(amount)


def loaded_base(source: str, template: TemplateSettings | None) -> Any:
    """The base model of this process, loaded once."""
    global _base, _loaded
    if _loaded != (source, template):
        from palm_engine.lm.base_model.load import load_base
        from palm_engine.lm.devices import build_dtype, pick_device

        dtype = build_dtype(pick_device())
        _base = load_base(source, lambda _: None, dtype, template=template)
        _loaded = (source, template)
    return _base


def _drain(amounts: Any, progress: Callable[[float], None]) -> None:
    while True:
        try:
            progress(amounts.get_nowait())
        except queue.Empty:
            return


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however that ended.

    It would go on for an hour otherwise, beside a repeated command that does the same work.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for_end([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="palm-parent", daemon=True).start()


def _start_worker(amounts: Any) -> None:
    global _progress
    _end_with_parent()
    _progress = amounts
    os.environ["PALM_THREADS"] = "1"
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
