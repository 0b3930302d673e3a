"""Settings of widgets that outlive their page."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import streamlit as st

_KEPT = "kept"
_PAGE = "page"
_FIRST = "first_values"
_NAMED = "named_in_address"
# What a setting is called in the address; its key begins so, and ends with the bundle's name.
IN_ADDRESS = {
    "expert": "expert",
    "tolerance": "tolerate",
    "tolerance-share": "tolerate-share",
    "gap": "gap",
    "beside": "beside",
    "view": "view",
    "field": "map",
    "field.trait": "trait",
    "field.other": "versus",
    "threshold.multiplicative": "covered-share",
    "users": "users",
    "utility": "utility",
    "utility.mean": "mean",
    "utility.trait": "required",
    "utility.least": "at-least",
    "utility.price": "missing-costs",
    "look_at": "look-at",
    "after": "after",
    "order": "order",
    "columns": "columns",
    "search": "search",
    "kind": "kind",
    "split": "split",
    "answers_kind": "answers",
    "sample": "answer",
    "shown": "show",
    "corners": "corners",
    "on": "traits",
    "beta": "beta",
    "target": "target",
    "k": "plan",
    "eps": "eps",
    "delta": "delta",
    "cost": "kl",
    "hours": "hours",
    "price": "price",
    "currency": "currency",
    "gpu": "gpu",
    "base_gb": "base-gb",
    "adapter_mb": "adapter-mb",
    "plan_map": "plan-map",
    "planned": "moved",
    "find": "find",
    "worst_at": "worst",
    "live.who": "who",
    "live.temperature": "temperature",
    "live.top_p": "top-p",
    "live.tokens": "tokens",
    "live.seed": "seed",
    "live.chosen": "chosen",
    # Users around a mix: a number for each trait.
    **{f"mix-{i}": f"mix-{i}" for i in range(1, 21)},
}


def seed(
    key: str,
    default: Any,
    least: float | None = None,
    most: float | None = None,
    among: Collection[Any] | None = None,
) -> str:
    """Give a widget's key its value of before, or its first one; returns the key.

    A keyed widget's value is lost when its page is left; these are kept. Call it before the widget,
    which then takes no value of its own.

    Args:
        key: of the widget.
        default: its first value.
        least: a kept number below is raised to this.
        most: a kept number above is lowered to this.
        among: what it may be; where it can't be that any more, or a link names something else, it
            begins anew.
    """
    before: dict[str, Any] = st.session_state.setdefault(_KEPT, {})
    st.session_state.setdefault(_FIRST, {})[key] = default
    if key not in st.session_state:
        named = st.session_state.get(_NAMED, {}).pop(_address_name(key), None)
        linked = None if named is None else _read(named, default)
        st.session_state[key] = before.get(key, default) if linked is None else linked
    if among is not None and not _is_among(st.session_state[key], among):
        st.session_state[key] = default
    if least is not None and most is not None:
        value = min(max(st.session_state[key], least), most)
        if value != st.session_state[key]:
            st.session_state[key] = value
    before.setdefault(key, st.session_state[key])
    return key


def for_address(bundle: str) -> dict[str, str]:
    """What a link has to name: settings of a bundle that aren't what they are at first.

    Args:
        bundle: its name.
    """
    first: dict[str, Any] = st.session_state.get(_FIRST, {})
    found: dict[str, str] = dict(st.session_state.get(_NAMED, {}))
    for key, usual in first.items():
        name, value = _address_name(key), kept(key)
        if name and _is_of(key, bundle) and value is not None and value != usual:
            found[name] = _written(value)
    return found


def take_from_address(query: Mapping[str, str], bundle: str) -> None:
    """Set what a link names, and what it doesn't name to what it is at first.

    Args:
        query: of the address.
        bundle: that it opens.
    """
    named = {n: query[n] for n in IN_ADDRESS.values() if n in query}
    st.session_state[_NAMED] = named
    for key in list(st.session_state.get(_FIRST, {})):
        if _is_of(key, bundle) and _address_name(key):
            forget(key)


def _is_of(key: str, bundle: str) -> bool:
    name = _setting(key)
    own = key[len(name) + 1 :]
    if name == "columns":  # which members are beside each other, by portfolio
        own = own.partition(".")[2]
    return key == "expert" or own == bundle


def _address_name(key: str) -> str:
    return IN_ADDRESS.get(_setting(key), "")


def _setting(key: str) -> str:
    """The key of IN_ADDRESS that a widget's key begins with, or nothing."""
    begins = (p for p in IN_ADDRESS if key == p or key.startswith(f"{p}."))
    return max(begins, key=len, default="")


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _read(text: str, default: Any) -> Any:
    """A value of the kind of `default`; None where the text is none."""
    try:
        if isinstance(default, bool):
            return {"0": False, "1": True}.get(text)
        if isinstance(default, list | tuple):
            return [part for part in text.split(",") if part]
        if isinstance(default, int | float):
            number = float(text)
            return type(default)(number) if math.isfinite(number) else None
    except ValueError:
        return None
    return int(text) if default is None and text.isdecimal() else text


def _is_among(value: Any, among: Collection[Any]) -> bool:
    if isinstance(value, list | tuple):
        return all(x in among for x in value)
    return value in among


def forget(key: str) -> None:
    """Let a setting begin anew: what it was can't be any more."""
    st.session_state.pop(key, None)
    st.session_state.get(_KEPT, {}).pop(key, None)


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


def is_first(key: str) -> bool:
    """Whether a setting is what it is at first: nobody has set it to something else."""
    first: dict[str, Any] = st.session_state.get(_FIRST, {})
    return key in first and kept(key) == first[key]


def kept(key: str) -> Any:
    """What a setting is now, or was when its page was left; None before."""
    return st.session_state.get(key, st.session_state.get(_KEPT, {}).get(key))
