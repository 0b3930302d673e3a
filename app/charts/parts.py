"""What figures are made of: colours, axes, a ring, the triangle of three traits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from palm_engine._types import Floats

OURS, QUIET, LIMIT = "#4a7fb5", "#8494a4", "#ff5a36"
MARGIN = {"l": 8, "r": 8, "t": 40, "b": 40}
BELOW = {"orientation": "h", "y": -0.2, "yanchor": "top"}


def axes(
    figure: go.Figure, title: str, x: str, y: str, height: int = 430, **more: object
) -> go.Figure:
    """Title, axes from 0 on, and a legend below."""
    return figure.update_layout(
        title=title,
        height=height,
        margin=MARGIN,
        legend=BELOW,
        xaxis={"title": x, "fixedrange": True},
        yaxis={"title": y, "rangemode": "tozero", "fixedrange": True},
        **more,
    )


def ring(figure: go.Figure, x: float, y: float) -> None:
    """Mark what is in use."""
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        showlegend=False,
        hoverinfo="skip",
        cliponaxis=False,
        marker={"size": 22, "color": "rgba(0,0,0,0)", "line": {"color": "#EE6677", "width": 3}},
    )


# Of the triangle of three traits.
CORNERS = np.array([[0.5, math.sqrt(0.75)], [0.0, 0.0], [1.0, 0.0]])


def whole_sizes(figure: go.Figure, most: int) -> go.Figure:
    """A tick for each size while there is room for them."""
    return figure.update_xaxes(dtick=1 if most <= 16 else max(most // 10, 1))


def triangle(figure: go.Figure, traits: Sequence[str], apart: int = 14) -> Floats:
    """Draw the triangle of three traits; returns its corners in their order, shape (3, 2).

    Names stand `apart` pixels from their corners.
    """
    outline = CORNERS[[0, 1, 2, 0]]
    figure.add_scatter(
        x=outline[:, 0],
        y=outline[:, 1],
        mode="lines",
        line={"color": QUIET, "width": 1},
        showlegend=False,
        hoverinfo="skip",
    )
    for trait, (x, y) in zip(traits, CORNERS, strict=True):
        figure.add_annotation(
            x=x,
            y=y,
            text=trait,
            showarrow=False,
            yshift=apart if y > 0 else -apart,
            font={"size": 14},
        )
    return CORNERS


def in_triangle(figure: go.Figure, title: str) -> go.Figure:
    """A figure whose only axes are the triangle."""
    return figure.update_layout(
        title=title,
        height=400,
        margin=MARGIN,
        legend={"orientation": "h", "y": -0.08, "yanchor": "top"},
        xaxis={"visible": False, "range": [-0.12, 1.12], "fixedrange": True},
        yaxis={"visible": False, "scaleanchor": "x", "range": [-0.12, 1.0], "fixedrange": True},
    )
