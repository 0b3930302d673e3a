"""What is promised and what was reached."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from app.charts.parts import LIMIT, OURS, QUIET, axes
from palm_engine.analysis.guarantee import Reached
from palm_engine.analysis.promise import Promise


def interval(told: Promise, tolerance: float | None) -> go.Figure:
    """Worst gap and its bound, beside the best single model's, what is aimed at and tolerated."""
    figure = go.Figure()
    rows = ["this portfolio", "the best single model"]
    if told.upper is not None:
        figure.add_scatter(
            x=[told.worst, told.upper],
            y=[rows[0]] * 2,
            mode="lines",
            line={"color": OURS, "width": 8},
            opacity=0.4,
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_annotation(
            x=told.upper,
            y=rows[0],
            text=f"{told.confidence:.0%} bound {told.upper:.3f}",
            showarrow=False,
            xanchor="right",
            yshift=-18,
        )
    figure.add_scatter(
        x=[told.worst, told.single],
        y=rows,
        mode="markers+text",
        text=[f"{told.worst:.3f}", f"{told.single:.3f}"],
        textposition="top center",
        marker={"size": 14, "color": [OURS, QUIET]},
        hovertemplate="%{y}: worst gap %{x:.4f}<extra></extra>",
        showlegend=False,
        cliponaxis=False,
    )
    lines = (
        (told.aim, f"aim {told.aim or 0:.3f}", QUIET, "#5c6b7a", "right"),
        (tolerance, f"tolerated {tolerance or 0:.3f}", LIMIT, "#c43c1c", "left"),
    )
    for at, words, colour, ink, side in lines:
        if at is None:
            continue
        figure.add_vline(at, line={"color": colour, "width": 2, "dash": "dash"})
        figure.add_annotation(
            x=at,
            y=1,
            yref="paper",
            text=words,
            showarrow=False,
            xanchor=side,
            yanchor="bottom",
            yshift=10,
            font={"color": ink},
        )
    most = max(told.worst, told.single, told.upper or 0.0, tolerance or 0.0, told.aim or 0.0)
    figure.update_layout(
        height=184,
        margin={"l": 8, "r": 8, "t": 34, "b": 36},
        xaxis={"title": "worst gap", "range": [0, 1.25 * most or 1.0], "fixedrange": True},
        yaxis={"autorange": "reversed", "automargin": True, "fixedrange": True},
    )
    return figure


def reached(rows: Sequence[Reached]) -> go.Figure:
    """What was planned against what was reached, for every trained candidate at its weights."""
    values = [x for r in rows for x in (r.planned, r.reached)]
    ends = [min(values) - 0.03, max(values) + 0.03]
    figure = go.Figure(
        go.Scatter(
            x=ends,
            y=ends,
            mode="lines",
            line={"color": QUIET, "dash": "dot"},
            name="as planned",
            hoverinfo="skip",
        )
    )
    for is_member, name, colour, symbol in (
        (True, "members", OURS, "circle"),
        (False, "others", QUIET, "diamond"),
    ):
        some = [r for r in rows if r.is_member == is_member]
        figure.add_scatter(
            x=[r.planned for r in some],
            y=[r.reached for r in some],
            mode="markers",
            name=name,
            marker={"color": colour, "size": 11, "symbol": symbol},
            text=[r.label for r in some],
            hovertemplate="%{text}<br>planned %{x:.3f}<br>reached %{y:.3f}<extra></extra>",
        )
    title = "Planned and reached value"
    axes(figure, title, "planned value", "reached value (evaluated)")
    return figure.update_yaxes(rangemode="normal")
