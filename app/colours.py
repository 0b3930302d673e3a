"""Members' colours, the same in every figure.

Apart from charts.py so that Explore needn't load plotly.
"""

from __future__ import annotations

import streamlit as st

FALLBACK_PALETTE = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#AA3377", "#66CCEE")


def palette(count: int) -> list[str]:
    """Colours of the members of a portfolio, in its order, from the theme."""
    colours = list(st.get_option("theme.chartCategoricalColors") or FALLBACK_PALETTE)
    return [_varied(colours[i % len(colours)], i // len(colours)) for i in range(count)]


def _varied(colour: str, turn: int) -> str:
    """The colour itself at first.

    Where all have been used, a darker one, then a lighter one, and so on.
    """
    if turn == 0:
        return colour
    target, share = (0, 0.45) if turn % 2 else (255, 0.45)
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(p + share * (target - p)):02X}" for p in parts)
