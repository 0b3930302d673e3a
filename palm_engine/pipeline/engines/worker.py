"""Inside a process that runs tasks: its base model, loaded once, and what it reports."""

from __future__ import annotations

import os
from typing import Any, Protocol

from palm_engine.lm.settings import TemplateSettings


class Amounts(Protocol):
    """Takes the amounts of work that are done."""

    def put(self, amount: float) -> None:
        """Take an amount."""
        ...


_base: Any = None
_loaded: Any = None
_progress: Amounts | None = None


def begin(amounts: Amounts | None, threads: int = 1) -> None:
    """Make this process one that runs tasks.

    Args:
        amounts: takes what is reported; None: nobody.
        threads: of the processor, for each task.
    """
    global _progress
    _progress = amounts
    os.environ["PALM_THREADS"] = str(threads)
    import torch
    from transformers.utils import logging

    torch.set_num_threads(threads)
    logging.disable_progress_bar()


def report_progress(amount: float) -> None:
    """Called in a task: `amount` more of its work is done."""
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
