"""Chat templates are programs from outside: they run in a sandbox with limits.

transformers renders them with jinja2's sandbox, which keeps them from files and attributes but not
from taking all time and memory. Here a rendering has a budget of both: what makes something new
(operators, filters, methods, output) is counted before or as it is made.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

from palm_engine.errors import ModelSourceError

# Processor time that a template may take: the sandbox limits one loop, but not loops in loops.
SECONDS = 2.0
# Of the template itself.
MOST_LETTERS = 500_000


def apply_template(tokenizer: Any, messages: list[dict[str, str]], asks: bool) -> str:
    """A tokenizer's chat template with messages, within its limits.

    Args:
        tokenizer: with the template.
        messages: each with role and content.
        asks: whether an answer is to begin at the end.

    Raises:
        ModelSourceError: it fails, or takes too much time or memory.
    """
    from jinja2 import TemplateError

    from palm_engine.lm.generation.sandbox import budget

    _bound_transformers()
    if len(str(getattr(tokenizer, "chat_template", ""))) > MOST_LETTERS:
        raise ModelSourceError(
            f"the model's chat template has more than {MOST_LETTERS:,} letters; give another"
            " (template.text)"
        )
    # The sandbox stops long loops so, and what a template does to a value may be wrong.
    failures = (
        TemplateError,
        MemoryError,
        OverflowError,
        RecursionError,
        TimeoutError,
        TypeError,
        ValueError,
    )
    try:
        with _limited(SECONDS), budget():
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=asks
            )
            return str(text)
    except failures as error:
        raise ModelSourceError(f"the model's chat template fails: {error}") from error


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Stop a template that takes more processor time than `seconds`.

    Raises:
        TimeoutError: it took too long.
    """
    end = time.thread_time() + seconds

    def watch(frame: FrameType, _event: str, _argument: Any) -> Any:
        if time.thread_time() > end:
            raise TimeoutError(f"it takes more than {seconds:g} seconds")
        # Line by line in what was compiled from a template, call by call elsewhere.
        return watch if frame.f_code.co_filename.startswith("<") else None

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)


@cache
def _bound_transformers() -> None:
    """Have transformers render templates in a sandbox that counts what they make."""
    from transformers.utils import chat_template_utils

    from palm_engine.lm.generation.sandbox import CountingSandbox

    chat_template_utils._compile_jinja_template.cache_clear()
    chat_template_utils.ImmutableSandboxedEnvironment = CountingSandbox
