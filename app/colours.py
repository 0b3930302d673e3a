"""Members' colours, the same in every figure; apart from charts.py so that Explore needn't load plotly."""

from __future__ import annotations

import streamlit as st

FALLBACK_PALETTE = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#AA3377", "#66CCEE")


def palette(count: int) -> list[str]:
    """Colours of the members of a portfolio, in its order, from the theme in .streamlit/config.toml."""
    colours = list(st.get_option("theme.chartCategoricalColors") or FALLBACK_PALETTE)
    return [colours[i % len(colours)] for i in range(count)]
