"""The loss that a user of the dashboard tolerates: one setting, on every page that asks for it."""

from __future__ import annotations

import streamlit as st

from app import settings, state
from palm_engine.bundle.folder import Bundle

LEAST = 0.001


def choose_tolerance(bundle: Bundle, limits: tuple[float, float]) -> float:
    """The slider; `limits` are the value to begin with and the largest worth asking for."""
    first, most = limits
    top = max(most, 0.2)
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
