"""Every st.session_state key, in one place, typed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from palm_engine.bundle.folder import Bundle
from palm_engine.geometry.confidence import Bound
from palm_engine.geometry.simplex import normalise

if TYPE_CHECKING:
    from palm_engine.serving.answering import LiveAnswer
    from palm_engine.serving.ticket import Ticket

BUNDLE = "bundle"
ROOT = "portfolios_root"
MAX_SLIDER = 100.0
_VERSION = "weights_version"
_SESSION = "session"
_TICKET = "ticket"
MOST_ASKED = 50
_RESTORED = "restored_from_url"


@dataclass(frozen=True)
class Portfolio:
    """The portfolio in use: candidate rows, where it comes from, and its bound where one was
    certified.
    """

    rows: tuple[int, ...]
    label: str
    bound: Bound | None
    scope: str = "candidates"


@dataclass(frozen=True)
class Asked:
    """A live question that is over.

    Its answers as far as they came, its settings, and how fast it went.
    """

    prompt: str
    answers: tuple[LiveAnswer, ...]
    settings: dict[str, float]
    tokens_a_second: float | None
    stopped: bool
    error: str = ""


def portfolios_root() -> Path:
    """The folder of portfolios that this session may read."""
    return Path(st.session_state[ROOT])


def _raw_key(bundle: Bundle) -> str:
    return f"raw.{bundle.folder.name}"


def prompt_key(bundle: Bundle) -> str:
    """Key of the prompt picker."""
    return f"prompt.{bundle.folder.name}"


def _size_key(bundle: Bundle) -> str:
    return f"size.{bundle.folder.name}"


def raw_weights(bundle: Bundle) -> list[float]:
    """Slider positions, 0 to 100, one a trait; all in the middle at first."""
    kept = st.session_state.get(_raw_key(bundle), [])
    return (
        [float(x) for x in kept] if len(kept) == len(bundle.traits) else [50.0] * len(bundle.traits)
    )


def follow_weights(bundle: Bundle, raw: Sequence[float]) -> None:
    """Take over what the browser's sliders say.

    Anything that isn't one number from 0 to 100 a trait is ignored.
    """
    values = [float(x) if isinstance(x, int | float) else np.nan for x in raw]
    if len(values) == len(bundle.traits) and all(0 <= x <= MAX_SLIDER for x in values):
        st.session_state[_raw_key(bundle)] = values


def set_weights(bundle: Bundle, raw: Sequence[float]) -> None:
    """Set the weights from the server's side; the browser's sliders then move there."""
    follow_weights(bundle, raw)
    st.session_state[_VERSION] = weights_version() + 1


def weights_version() -> int:
    """Counts the times that the server set the weights itself."""
    return int(st.session_state.get(_VERSION, 0))


def weights(bundle: Bundle) -> NDArray[np.float64]:
    """Effective weights: non-negative, summing to 1."""
    return normalise(raw_weights(bundle))


def restore_from_url(names: Sequence[str]) -> None:
    """Once a session: the view that the address names (portfolio, weights, size, prompt), as far as
    it makes sense.
    """
    if st.session_state.get(_RESTORED):
        return
    st.session_state[_RESTORED] = True
    asked = st.query_params.to_dict()
    name = asked.get("portfolio", names[0] if names else "")
    if name not in names:
        return
    st.session_state[BUNDLE] = name
    raw = asked.get("w", "").split("-")
    with suppress(ValueError):
        values = [float(x) for x in raw]
        if all(0 <= x <= MAX_SLIDER for x in values):
            st.session_state[f"raw.{name}"] = values
    if asked.get("k", "").isdecimal():
        st.session_state[f"size.{name}"] = int(asked["k"])
    if asked.get("members"):
        st.session_state[f"members.{name}"] = (
            tuple(asked["members"].split(",")),
            "members that a link names",
        )
    if asked.get("prompt"):
        st.session_state[f"prompt.{name}"] = asked["prompt"]


def write_url(bundle: Bundle) -> None:
    """Put portfolio, weights, size and prompt into the address, so that a copied link opens this
    view.
    """
    wanted = {"portfolio": bundle.folder.name, "w": "-".join(f"{x:g}" for x in raw_weights(bundle))}
    size, prompt = chosen_size(bundle), st.session_state.get(prompt_key(bundle))
    if size is not None:
        wanted["k"] = str(size)
    if (named := chosen_members(bundle)) is not None:
        wanted["members"] = ",".join(named[0])
    if prompt:
        wanted["prompt"] = str(prompt)
    # The browser keeps "w" itself while a slider moves: a step of the history for every move would
    # bury Back.
    if {k: v for k, v in st.query_params.items() if k != "w"} != {
        k: v for k, v in wanted.items() if k != "w"
    }:
        st.query_params.from_dict(wanted)


def chosen_size(bundle: Bundle) -> int | None:
    """The size chosen on the trade-off page, or None for the bundle's own members."""
    size = st.session_state.get(_size_key(bundle))
    return None if size is None else int(size)


def choose_size(bundle: Bundle, size: int | None) -> None:
    """Use the best portfolio of `size` everywhere (None: the bundle's own members)."""
    st.session_state.pop(f"members.{bundle.folder.name}", None)
    st.session_state[_size_key(bundle)] = size


def unit_of(bundle: Bundle) -> str:
    """What the bundle's values and gaps are counted in."""
    return unit(bundle.with_cost)


def unit(with_kl_cost: bool) -> str:
    """What values and gaps are counted in, with the KL cost or without."""
    return "reward minus KL cost" if with_kl_cost else "reward units"


def session_id() -> str:
    """A name of this browser session that no other has; told to nobody."""
    if _SESSION not in st.session_state:
        st.session_state[_SESSION] = secrets.token_hex(16)
    return str(st.session_state[_SESSION])


def ticket(bundle: Bundle) -> Ticket | None:
    """The live question that this session asked of the portfolio last, until its answers are in the
    history.
    """
    return st.session_state.get(f"{_TICKET}.{bundle.folder.name}")


def set_ticket(bundle: Bundle, asked: Ticket | None) -> None:
    """Keep a live question (None: it is over)."""
    st.session_state[f"{_TICKET}.{bundle.folder.name}"] = asked


def look_at_tickets() -> None:
    """Called on every run of every page: this session is still there, and so are its questions."""
    for key, asked in list(st.session_state.items()):
        if str(key).startswith(f"{_TICKET}.") and asked is not None:
            asked.look()


def history(bundle: Bundle, stamp: int) -> list[Asked]:
    """Live questions of this session with their answers, oldest first.

    The latest MOST_ASKED are kept.

    A bundle that was written anew (`stamp`) begins a new one: policies and traits may be others.
    """
    kept: list[Asked] = st.session_state.setdefault(f"history.{bundle.folder.name}.{stamp}", [])
    del kept[:-MOST_ASKED]
    return kept


def chosen_members(bundle: Bundle) -> tuple[tuple[str, ...], str] | None:
    """Policies (and what they are) that were chosen by name, as by a click on a method's line.

    None otherwise.
    """
    return st.session_state.get(f"members.{bundle.folder.name}")


def choose_members(bundle: Bundle, policies: Sequence[str], label: str) -> None:
    """Use these policies everywhere."""
    st.session_state[_size_key(bundle)] = None
    st.session_state[f"members.{bundle.folder.name}"] = (tuple(policies), label)


def is_new_click(bundle: Bundle, point: object) -> bool:
    """Whether a click on a `point` of the curve is a new one.

    A selected point is reported again on every rerun.

    None says that nothing is selected any more, so that the same point can be clicked again.
    """
    key = f"clicked.{bundle.folder.name}"
    new = st.session_state.get(key) != point
    st.session_state[key] = point
    return new
