"""What a normalisation does to scores and gaps."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.charts.parts import OURS, QUIET, axes, whole_sizes
from palm_engine.analysis.normalisation import GapsBySize, ScalingInfo


def scaling(info: ScalingInfo) -> go.Figure:
    """A trait's scores on the left, the rewards that they become on the right."""
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=("scores", "rewards"), horizontal_spacing=0.08
    )
    for column, edges, counts, colour in (
        (1, info.raw_edges, info.raw_counts, QUIET),
        (2, info.reward_edges, info.reward_counts, OURS),
    ):
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            width=edges[1:] - edges[:-1],
            marker={"color": colour},
            hovertemplate="%{x:.3g}: %{y}<extra></extra>",
            showlegend=False,
            row=1,
            col=column,
        )
    figure.update_yaxes(visible=False, fixedrange=True)
    figure.update_xaxes(fixedrange=True)
    return figure.update_layout(height=150, margin={"l": 4, "r": 4, "t": 24, "b": 24}, bargap=0)


def normalised_gaps(curves: Mapping[str, GapsBySize], kind: str) -> go.Figure:
    """Worst gap by portfolio size, one line per normalisation."""
    figure = go.Figure()
    for (name, curve), colour in zip(curves.items(), (OURS, QUIET), strict=False):
        figure.add_scatter(
            x=curve.sizes,
            y=getattr(curve, kind),
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 3 if colour == OURS else 2},
            hovertemplate=name + ", %{x} members: %{y:.4f}<extra></extra>",
        )
    axes(figure, f"Worst {kind} gap", "members", f"worst {kind} gap", 320)
    return whole_sizes(figure, max(max(c.sizes) for c in curves.values()))
