"""Figures, drawn from the engine's result dataclasses; nothing is computed here but where a mark goes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray

from palm_engine.bundle import Bundle
from palm_engine.explore import CurveInfo, MapInfo, PickInfo

FALLBACK_PALETTE = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#AA3377", "#66CCEE")
INK, QUIET = "#1c2733", "#6b7a8a"
_HEIGHT = np.sqrt(3) / 2
_MARGIN = {"l": 8, "r": 8, "t": 40, "b": 8}


def palette(count: int) -> list[str]:
    """Colours of the members of a portfolio, in its order, from the theme in .streamlit/config.toml."""
    colours = list(st.get_option("theme.chartCategoricalColors") or FALLBACK_PALETTE)
    return [colours[i % len(colours)] for i in range(count)]


def triangle_xy(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of weights (m, 3) in the plane: first trait at the top, second at the left, third at the right."""
    w = np.atleast_2d(weights)
    return w[:, 2] + 0.5 * w[:, 0], _HEIGHT * w[:, 0]


def member_map(bundle: Bundle, info: MapInfo, pick: PickInfo) -> go.Figure:
    """Which member is picked where: a triangle (d = 3) or a line (d = 2), with the current weights marked."""
    return _triangle(bundle, info, pick) if len(bundle.traits) == 3 else _segment(bundle, info, pick)


def _triangle(bundle: Bundle, info: MapInfo, pick: PickInfo) -> go.Figure:
    names = [bundle.policies[i] for i in info.portfolio]
    colours = palette(len(names))
    n, traits = info.resolution, bundle.traits
    rows = np.rint(info.field.weights * n).astype(int)
    # One cell a grid weight: row = steps of the first trait, columns at half steps.
    z = np.full((n + 1, 2 * n + 1), np.nan)
    gap = np.zeros_like(z)
    share = np.zeros((*z.shape, 3))
    for (a, _, c), member, g, w in zip(rows, info.field.member, info.field.gap, info.field.weights, strict=True):
        for column in (2 * c + a, 2 * c + a + 1):
            if column <= 2 * n - a:
                z[a, column], gap[a, column], share[a, column] = member, g, w
    scale = [[k, colours[i]] for i in range(len(names)) for k in (i / len(names), (i + 1) / len(names))]
    text = np.array(names)[np.nan_to_num(z).astype(int)]
    figure = go.Figure(
        go.Heatmap(
            z=z + 0.5, x=np.arange(2 * n + 1) / (2 * n), y=np.arange(n + 1) / n * _HEIGHT, zmin=0, zmax=len(names),
            colorscale=scale, showscale=False, opacity=0.75, hoverongaps=False, text=text,
            customdata=np.dstack([share, gap]),
            hovertemplate="picked: %{text}<br>"
            + "".join(f"{t} %{{customdata[{i}]:.2f}}<br>" for i, t in enumerate(traits))
            + "gap %{customdata[3]:.4f}<extra></extra>",
        )
    )  # fmt: skip
    edge = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=float)
    x, y = triangle_xy(edge)
    figure.add_scatter(x=x, y=y, mode="lines", line={"color": QUIET, "width": 1}, hoverinfo="skip", showlegend=False)
    for i, (row, name) in enumerate(zip(info.portfolio, names, strict=True)):
        trained = bundle.manifest.candidates[row].weights
        if trained is None:
            x, y = np.array([None]), np.array([None])
        else:
            x, y = triangle_xy(np.array([[trained[t] for t in traits]]))
        figure.add_scatter(
            x=x, y=y, mode="markers", name=name, hovertemplate=f"{name} was trained here<extra></extra>",
            marker={"color": colours[i], "size": 11, "line": {"color": "white", "width": 2}},
        )  # fmt: skip
    x, y = triangle_xy(pick.weights)
    figure.add_scatter(
        x=x, y=y, mode="markers", name="your weights", hovertemplate="your weights<extra></extra>",
        marker={"symbol": "cross", "color": INK, "size": 15, "line": {"color": "white", "width": 2}},
    )  # fmt: skip
    for trait, (cx, cy, anchor, shift) in zip(
        traits, [(0.5, _HEIGHT, "center", 14), (0, 0, "left", -14), (1, 0, "right", -14)], strict=True
    ):
        figure.add_annotation(x=cx, y=cy, text=f"all {trait}", showarrow=False, xanchor=anchor, yshift=shift)
    figure.update_xaxes(visible=False, range=[-0.03, 1.03], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-0.09, _HEIGHT + 0.09], scaleanchor="x", fixedrange=True)
    figure.update_layout(
        title="Which member is picked, by weights", height=430, margin=_MARGIN,
        legend={"orientation": "h", "y": -0.02, "yanchor": "top"},
    )  # fmt: skip
    return figure


def _segment(bundle: Bundle, info: MapInfo, pick: PickInfo) -> go.Figure:
    first, second = bundle.traits
    colours, field = palette(len(info.portfolio)), info.field
    order = np.argsort(field.weights[:, 0])
    x = field.weights[order, 0]
    figure = go.Figure()
    figure.add_scatter(x=x, y=field.best[order], name="best candidate", line={"color": QUIET, "dash": "dot"})
    for i, row in enumerate(info.portfolio):
        values = np.where(field.member[order] == i, field.value[order], np.nan)
        figure.add_scatter(
            x=x, y=values, name=bundle.policies[row], line={"color": colours[i], "width": 4}
        )  # fmt: skip
    figure.add_vline(x=float(pick.weights[0]), line={"color": INK, "width": 2})
    figure.update_layout(
        title="Value of the picked member, by weights", height=380, margin=_MARGIN | {"b": 40},
        xaxis_title=f"weight of {first} (the rest is {second})", yaxis_title="value (expected reward)",
        legend={"orientation": "h", "y": -0.2, "yanchor": "top"},
    )  # fmt: skip
    return figure


def value_bars(bundle: Bundle, pick: PickInfo, portfolio: Sequence[int]) -> go.Figure:
    """Value of every member at the current weights, picked one first: the map's stand-in for d >= 4."""
    values = bundle.points @ pick.weights
    colours = palette(len(portfolio))
    order = sorted(range(len(portfolio)), key=lambda i: values[portfolio[i]])
    figure = go.Figure(
        go.Bar(
            x=[values[portfolio[i]] for i in order], y=[bundle.policies[portfolio[i]] for i in order],
            orientation="h", marker_color=[colours[i] for i in order], hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_vline(x=pick.best_value, line={"color": QUIET, "dash": "dot"}, annotation_text="best candidate")
    figure.update_layout(
        title="Value of each member at your weights", height=380, margin=_MARGIN | {"b": 40},
        xaxis_title="value (expected reward)",
    )  # fmt: skip
    return figure


def trait_bars(bundle: Bundle, pick: PickInfo, colour: str) -> go.Figure:
    """Expected reward a trait: the picked member beside the best candidate and the base model."""
    candidates, traits = bundle.manifest.candidates, bundle.traits
    rows = [(f"picked: {bundle.policies[pick.member]}", pick.member, colour)]
    if pick.best != pick.member:
        rows.append((f"best candidate: {bundle.policies[pick.best]}", pick.best, "#9aa7b5"))
    if "base" in bundle.policies and bundle.policies.index("base") not in (pick.member, pick.best):
        rows.append(("base model", bundle.policies.index("base"), "#d2d9e0"))
    figure = go.Figure(
        [
            go.Bar(
                name=name, x=traits, y=[candidates[row].values[t] for t in traits], marker_color=shade,
                texttemplate="%{y:.2f}", textposition="outside", cliponaxis=False,
                hovertemplate="%{x} %{y:.3f}<extra>" + name + "</extra>",
            )
            for name, row, shade in rows
        ]
    )  # fmt: skip
    figure.update_layout(
        title="Expected reward on each trait", barmode="group", height=300, margin=_MARGIN,
        yaxis={"title": "reward (0 to 1)", "range": [0, 1.08], "fixedrange": True}, xaxis={"fixedrange": True},
        legend={"orientation": "h", "y": -0.15, "yanchor": "top"}, bargap=0.25,
    )  # fmt: skip
    return figure


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
