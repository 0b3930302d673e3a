"""Errors of the engine become a sentence, wherever a page or a part of one runs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import streamlit as st

from palm_engine.errors import PalmError

P = ParamSpec("P")
T = TypeVar("T")


def show_error(headline: str, error: PalmError, warns: bool = False) -> None:
    """What can't be done, and why: its text is not markdown, and names no folder of uploads.

    Args:
        headline: a sentence.
        error: of the engine.
        warns: as something to mend rather than something broken.
    """
    (st.warning if warns else st.error)(headline, icon=":material/error:")
    st.text(str(error).replace(f"{tempfile.gettempdir()}/", ""))


def shows_errors(part: Callable[P, T]) -> Callable[P, T | None]:
    """`part`, with a PalmError shown as text in its place.

    It stands below `st.fragment`: a fragment that reruns has no page around it that could catch
    anything.
    """

    @wraps(part)
    def safe(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return part(*args, **kwargs)
        except PalmError as error:
            # A table that turns out to be broken when it is first read, for one.
            show_error("This bundle can't be shown.", error)
            return None

    return safe
