"""Every st.session_state key, in one place, typed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from palm_engine.bundle import Bundle
from palm_engine.geometry.simplex import normalise
from palm_engine.manifest import BoundInfo

BUNDLE = "bundle"
ROOT = "portfolios_root"
_MAX_SLIDER = 100


@dataclass(frozen=True)
class Portfolio:
    """The portfolio in use: candidate rows, where it comes from, and its bound where one was certified."""

    rows: tuple[int, ...]
    label: str
    bound: BoundInfo | None
    scope: str = "candidates"


def portfolios_root() -> Path:
    """The folder of portfolios that this session may read."""
    return Path(st.session_state[ROOT])


def slider_key(bundle: Bundle, trait: str) -> str:
    """Key of a trait's slider; it names the bundle, so that portfolios keep their own weights."""
    return f"weight.{bundle.folder.name}.{trait}"


def prompt_key(bundle: Bundle) -> str:
    """Key of the prompt picker."""
    return f"prompt.{bundle.folder.name}"


def _size_key(bundle: Bundle) -> str:
    return f"size.{bundle.folder.name}"


def raw_weights(bundle: Bundle) -> list[int]:
    """Slider positions, 0 to 100, one a trait; all in the middle at first."""
    return [int(st.session_state.get(slider_key(bundle, t), _MAX_SLIDER // 2)) for t in bundle.traits]


def weights(bundle: Bundle) -> NDArray[np.float64]:
    """Effective weights: non-negative, summing to 1."""
    return normalise(raw_weights(bundle))


def chosen_size(bundle: Bundle) -> int | None:
    """The size chosen on the trade-off page, or None for the bundle's own members."""
    size = st.session_state.get(_size_key(bundle))
    return None if size is None else int(size)


def choose_size(bundle: Bundle, size: int | None) -> None:
    """Use the best portfolio of `size` everywhere (None: the bundle's own members)."""
    st.session_state[_size_key(bundle)] = size


def is_new_click(bundle: Bundle, size: int | None) -> bool:
    """Whether a click on the curve is a new one: a selected point is reported again on every rerun.

    None says that nothing is selected any more, so that the same point can be clicked again.
    """
    key = f"clicked.{bundle.folder.name}"
    new = st.session_state.get(key) != size
    st.session_state[key] = size
    return new
