"""Settings of widgets that outlive their page."""

from __future__ import annotations

from typing import Any

import streamlit as st

_KEPT = "kept"
_PAGE = "page"


def seed(key: str, default: Any, least: float | None = None, most: float | None = None) -> str:
    """Give a widget's key its value of before, or its first one; returns the key.

    A keyed widget's value is lost when its page is left; these are kept. Call it before the widget,
    which then takes no value of its own.

    Args:
        key: of the widget.
        default: its first value.
        least: a kept number below is raised to this.
        most: a kept number above is lowered to this.
    """
    before: dict[str, Any] = st.session_state.setdefault(_KEPT, {})
    if key not in st.session_state:
        st.session_state[key] = before.get(key, default)
    if least is not None and most is not None:
        value = min(max(st.session_state[key], least), most)
        if value != st.session_state[key]:
            st.session_state[key] = value
    before.setdefault(key, st.session_state[key])
    return key


def keep_settings(page: str) -> None:
    """Called on every run, with the page that is open: what `seed` began is kept.

    On another page a widget of the same key is another widget, which doesn't take over the value.
    """
    known: dict[str, Any] = st.session_state.setdefault(_KEPT, {})
    turned = st.session_state.get(_PAGE) != page
    st.session_state[_PAGE] = page
    for key in known:
        if key in st.session_state:
            known[key] = st.session_state[key]
            if turned:
                del st.session_state[key]


def kept(key: str) -> Any:
    """What a setting is now, or was when its page was left; None before."""
    return st.session_state.get(key, st.session_state.get(_KEPT, {}).get(key))
