"""Runs model work in a few processes of one thread each: faster on a CPU than one process with many threads."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_base: Any = None


def run_tasks(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Result]]:
    """Yield (task, result) as each is done; `work` must be a module-level function. Cancels the rest on an error."""
    if not tasks:
        return
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=_one_thread) as pool:
        futures = {pool.submit(work, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def loaded_base(source: str) -> Any:
    """The base model of this process, loaded once."""
    global _base
    if _base is None or _base.source != source:
        from palm_engine.lm.base import load_base

        _base = load_base(source, report=lambda _: None)
    return _base


def _one_thread() -> None:
    os.environ["PALM_THREADS"] = "1"
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
