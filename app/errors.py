"""Errors of the engine become a sentence, wherever a page or a part of one runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import streamlit as st

from palm_engine.errors import PalmError

P = ParamSpec("P")
T = TypeVar("T")


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
            st.error("This bundle can't be shown.")
            st.text(str(error))
            return None

    return safe
