"""The loss that a user of the dashboard tolerates: one setting, on every page that asks for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from app import settings, state
from app.components.figure import css_key
from palm_engine.bundle.folder import Bundle

LEAST = 0.001
SCRIPT = Path(__file__).resolve().parent / "browser" / "drag.js"
_drag = st.components.v2.component("palm_atlas.drag", js=SCRIPT.read_text(encoding="utf-8"))


def choose_tolerance(bundle: Bundle, limits: tuple[float, float]) -> float:
    """The slider; `limits` are the value to begin with and the largest worth asking for."""
    first, top = limits[0], largest(limits)
    return float(
        st.slider(
            f"The largest loss that you tolerate ({bundle.unit})",
            LEAST,
            top,
            step=LEAST,
            format="%.3f",
            key=settings.seed(state.tolerance_key(bundle), first, LEAST, top),
            help="For any user, whatever their weights: the worst gap. Rewards run from 0 to 1.",
        )
    )


def choose_share(bundle: Bundle, promised: Sequence[float]) -> float:
    """The slider of the loss in percent; a share.

    Args:
        bundle: whose tolerance it is.
        promised: multiplicative worst gaps of single portfolios, or bounds on them.
    """
    first = min(math.ceil(100 * min(promised) - 1e-9), 100)
    percent = st.slider(
        "The largest loss that you tolerate (percent of what the best would give)",
        0.5,
        100.0,
        step=0.5,
        format="%.1f %%",
        key=settings.seed(_share_key(bundle), float(max(first, 1)), 0.5, 100.0),
        help="For any user, whatever their weights: the worst gap, as a share.",
    )
    return float(percent) / 100


def _share_key(bundle: Bundle) -> str:
    return f"tolerance-share.{bundle.folder.name}"


def largest(limits: tuple[float, float]) -> float:
    """The largest tolerance that can be chosen."""
    return max(limits[1], 0.2)


def drag_tolerance(bundle: Bundle, chart: str, limits: tuple[float, float] | None) -> None:
    """Let the line called `tolerance` of a chart be moved: the slider follows.

    Args:
        bundle: whose tolerance it is.
        chart: the chart's key.
        limits: as for `choose_tolerance`; None: the line is of `choose_share`.
    """
    key = f"drag.{chart}"

    def moved() -> None:
        height = getattr(st.session_state.get(key), "height", None)
        if not isinstance(height, int | float) or not math.isfinite(height):
            return
        if limits is None:
            percent = min(max(round(200 * float(height)) / 2, 0.5), 100.0)
            st.session_state[_share_key(bundle)] = percent
        else:
            within = min(max(round(float(height), 3), LEAST), largest(limits))
            st.session_state[state.tolerance_key(bundle)] = within

    _drag(key=key, data={"chart": css_key(chart)}, height=1, on_height_change=moved)
