"""Figures, drawn from the engine's result dataclasses; nothing is computed here but where a mark goes."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from palm_engine.explore import CurveInfo

FALLBACK_PALETTE = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#AA3377", "#66CCEE")
INK, QUIET = "#1c2733", "#6b7a8a"
_MARGIN = {"l": 8, "r": 8, "t": 40, "b": 8}


def palette(count: int) -> list[str]:
    """Colours of the members of a portfolio, in its order, from the theme in .streamlit/config.toml."""
    colours = list(st.get_option("theme.chartCategoricalColors") or FALLBACK_PALETTE)
    return [colours[i % len(colours)] for i in range(count)]


def size_curve(info: CurveInfo, in_use: tuple[int, float] | None) -> go.Figure:
    """Portfolio size against worst gap, with its band where there is one; (size, gap) `in_use` is ringed."""
    figure = go.Figure()
    line = info.certify or info.choose
    if info.upper is not None:
        figure.add_scatter(
            x=info.sizes, y=info.upper, name=f"{info.confidence:.0%} bound, all sizes at once",
            line={"color": "#4477AA", "dash": "dot", "width": 1}, hovertemplate="bound %{y:.4f}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=info.sizes, y=line, fill="tonexty", fillcolor="rgba(68,119,170,0.12)", mode="none", showlegend=False,
            hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=info.sizes, y=info.choose, name="where sizes were chosen (choose prompts)", mode="lines+markers",
            line={"color": "#9aa7b5", "width": 1}, hovertemplate="choose prompts %{y:.4f}<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=info.sizes, y=line, mode="lines+markers", line={"color": "#2f5d8a", "width": 3}, marker={"size": 11},
        name="worst gap (certify prompts)" if info.certify else "worst gap, exact",
        hovertemplate="%{x} members: worst gap %{y:.4f}<extra></extra>",
    )  # fmt: skip
    if in_use is not None:
        figure.add_scatter(
            x=[in_use[0]], y=[in_use[1]], mode="markers", showlegend=False, hoverinfo="skip",
            marker={"size": 22, "color": "rgba(0,0,0,0)", "line": {"color": "#EE6677", "width": 3}},
        )  # fmt: skip
    figure.update_layout(
        title="What one more member buys", height=430, margin=_MARGIN | {"b": 40},
        xaxis={"title": "portfolio size (members)", "dtick": 1, "fixedrange": True},
        yaxis={"title": "worst gap (reward units)", "rangemode": "tozero", "fixedrange": True},
        legend={"orientation": "h", "y": -0.2, "yanchor": "top"},
    )  # fmt: skip
    return figure
