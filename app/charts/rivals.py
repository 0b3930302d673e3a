"""The portfolio beside interpolation of its corners."""

from __future__ import annotations

import plotly.graph_objects as go

from app.charts.parts import OURS, QUIET
from palm_engine.analysis.interpolation import InterpolationInfo
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import Interpolation

# Those that a bundle of before them lacks aren't drawn.
MARKS = (
    ("this portfolio", "portfolio_value", OURS, "circle", 13),
    ("portfolio of {equal}", "equal_value", OURS, "circle-open", 11),
    ("soup of the corners", "soup_value", "#CC8844", "diamond", 10),
    ("mixing at every token", "mixture_value", "#AA3377", "square", 9),
    ("best corner alone", "corner_value", QUIET, "triangle-up", 9),
)


def interpolation(bundle: Bundle, found: Interpolation, info: InterpolationInfo) -> go.Figure:
    """A line per random weights: what each way of serving them is worth, the best of ours first."""
    rows = sorted((r for r in found.rows if not r.is_member), key=lambda r: r.portfolio_value)
    places = [bundle.weights_text(r.weights) for r in rows]
    figure = go.Figure()
    for row, place in zip(rows, places, strict=True):
        values = [v for _, field, *_ in MARKS if (v := getattr(row, field)) is not None]
        figure.add_scatter(
            x=[min(values), max(values)],
            y=[place] * 2,
            mode="lines",
            line={"color": QUIET, "width": 1},
            opacity=0.4,
            hoverinfo="skip",
            showlegend=False,
        )
    for title, field, colour, symbol, size in MARKS:
        # As the table calls it.
        name = title.format(equal=len(found.equal_members))
        if any(getattr(r, field) is None for r in rows):
            continue
        figure.add_scatter(
            x=[getattr(r, field) for r in rows],
            y=places,
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": size},
            hovertemplate=name + " %{x:.3f}<extra></extra>",
        )
    figure.update_layout(
        height=120 + 28 * len(rows),
        margin={"l": 8, "r": 8, "t": 8, "b": 40},
        xaxis={"title": f"value, mean of {info.prompts} prompts"},
        yaxis={"automargin": True, "fixedrange": True},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"},
        hovermode="closest",
    )
    return figure
