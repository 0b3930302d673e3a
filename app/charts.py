"""Figures, drawn from the engine's result dataclasses.

Nothing is computed here but where a mark goes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from palm_engine._types import Floats
from palm_engine.analysis.comparison import MethodCurve
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.guarantee import Reached
from palm_engine.analysis.normalisation import GapsBySize, ScalingInfo
from palm_engine.analysis.plan import PlanInfo
from palm_engine.analysis.promise import Promise
from palm_engine.analysis.verdict import Verdict

OURS, QUIET = "#4a7fb5", "#8494a4"
_MARGIN = {"l": 8, "r": 8, "t": 40, "b": 40}
_BELOW = {"orientation": "h", "y": -0.2, "yanchor": "top"}
# Every method keeps its colour and its dash wherever it is drawn.
METHOD_LINES = {
    "greedy": ("#228833", "dash"),
    "palm": ("#AA3377", "dashdot"),
    "uniform": ("#CC8844", "dot"),
    "random": ("#8494a4", "longdash"),
}


def _axes(
    figure: go.Figure, title: str, x: str, y: str, height: int = 430, **more: object
) -> go.Figure:
    return figure.update_layout(
        title=title,
        height=height,
        margin=_MARGIN,
        legend=_BELOW,
        xaxis={"title": x, "fixedrange": True},
        yaxis={"title": y, "rangemode": "tozero", "fixedrange": True},
        **more,
    )


def _ring(figure: go.Figure, x: float, y: float) -> None:
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        showlegend=False,
        hoverinfo="skip",
        marker={"size": 22, "color": "rgba(0,0,0,0)", "line": {"color": "#EE6677", "width": 3}},
    )


def _methods(figure: go.Figure, others: Sequence[MethodCurve]) -> None:
    for curve in others:
        colour, dash = METHOD_LINES[curve.method]
        if curve.low is not None and curve.high is not None:
            figure.add_scatter(
                x=[*curve.sizes, *reversed(curve.sizes)],
                y=[*curve.high, *reversed(curve.low)],
                fill="toself",
                fillcolor="rgba(132,148,164,0.15)",
                mode="none",
                showlegend=False,
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=curve.sizes,
            y=curve.gaps,
            mode="lines+markers",
            name=curve.label,
            marker={"size": 6},
            line={"color": colour, "dash": dash, "width": 2},
            customdata=[curve.method] * len(curve.sizes),
            hovertemplate=curve.label + " %{y:.4f}<extra></extra>",
        )


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
    return _axes(figure, f"Worst {kind} gap", "members", f"worst {kind} gap", 320)


def size_curve(
    info: CurveInfo,
    in_use: tuple[int, float] | None,
    others: Sequence[MethodCurve],
    unit: str,
    tolerance: float | None = None,
    enough: int | None = None,
) -> go.Figure:
    """Portfolio size against worst gap, with its band where there is one.

    (size, gap) `in_use` is ringed; the `tolerance` is a line, the size that is `enough` is lit.
    """
    figure = go.Figure()
    line = info.certify or info.choose
    _methods(figure, others)
    if info.upper is not None:
        figure.add_scatter(
            x=info.sizes,
            y=info.upper,
            name=f"{info.confidence:.0%} bound, all sizes at once",
            mode="lines",
            line={"color": OURS, "dash": "dot", "width": 1},
            hovertemplate="bound %{y:.4f}<extra></extra>",
        )
        figure.add_scatter(
            x=info.sizes,
            y=line,
            fill="tonexty",
            fillcolor="rgba(68,119,170,0.12)",
            mode="none",
            showlegend=False,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=info.sizes,
        y=line,
        mode="lines+markers",
        line={"color": OURS, "width": 3},
        marker={"size": 11},
        name="exact best" + (", measured on other prompts" if info.certify else ""),
        customdata=["minimum"] * len(info.sizes),
        hovertemplate="exact best of %{x}: worst gap %{y:.4f}<extra></extra>",
    )
    if in_use is not None:
        _ring(figure, *in_use)
    if tolerance is not None:
        figure.add_hline(tolerance, line={"color": "#ff5a36", "width": 2})
        figure.add_annotation(
            x=1,
            xref="paper",
            y=tolerance,
            text="tolerated",
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            font={"color": "#c43c1c"},
        )
    if enough is not None and enough in info.sizes:
        figure.add_vrect(
            enough - 0.35, enough + 0.35, fillcolor="#228833", opacity=0.16, line_width=0
        )
    _axes(
        figure,
        "Worst gap of the best portfolio of each size",
        "portfolio size (members)",
        f"worst gap ({unit})",
    )
    return _whole_sizes(figure, max(info.sizes))


def multiples(told: Verdict, in_use: int | None) -> go.Figure:
    """Small multiples by size: expected gap and coverage of uniform users, promised worst gap."""
    sizes = [r.size for r in told.rows]
    parts = (
        ("worst gap that can be promised", [r.promised for r in told.rows], ".4f"),
        ("expected gap of uniform users", [r.expected for r in told.rows], ".4f"),
        ("users who lose no more than tolerated", [r.covered for r in told.rows], ".0%"),
    )
    figure = make_subplots(
        rows=1, cols=3, subplot_titles=[p[0] for p in parts], horizontal_spacing=0.07
    )
    enough = None if told.enough is None else told.enough.size
    colours = ["#228833" if s == enough else OURS for s in sizes]
    outline = [3 if s == in_use else 0 for s in sizes]
    for column, (title, values, form) in enumerate(parts, start=1):
        figure.add_bar(
            x=sizes,
            y=values,
            marker={"color": colours, "line": {"color": "#EE6677", "width": outline}},
            hovertemplate=f"%{{x}} members: %{{y:{form}}}<extra>{title}</extra>",
            showlegend=False,
            row=1,
            col=column,
        )
        figure.update_yaxes(tickformat=form, fixedrange=True, row=1, col=column)
        figure.update_xaxes(dtick=1, fixedrange=True, title="members", row=1, col=column)
    figure.update_annotations(font={"size": 13})
    return figure.update_layout(height=230, margin={"l": 8, "r": 8, "t": 34, "b": 40})


def _whole_sizes(figure: go.Figure, most: int) -> go.Figure:
    """A tick for each size while there is room for them."""
    return figure.update_xaxes(dtick=1 if most <= 16 else max(most // 10, 1))


def plan_curve(info: PlanInfo, chosen: tuple[int, float] | None) -> go.Figure:
    """Planned worst gap by size, before any training; the plan that is shown is ringed."""
    gaps = [s.gap.additive for s in info.curve]
    figure = go.Figure(
        go.Scatter(
            x=[len(s.members) for s in info.curve],
            y=gaps,
            mode="lines+markers",
            marker={"size": 11},
            name="plan",
            # A step per member: what the next one buys.
            line={"color": OURS, "width": 3, "shape": "hv"},
            hovertemplate="%{x} members: planned gap %{y:.4f}<extra></extra>",
        )
    )
    most = max(len(s.members) for s in info.curve)
    if chosen is not None and chosen[0] <= most:
        _ring(figure, *chosen)
    title = "Planned worst gap by size, before any training"
    _axes(figure, title, "portfolio size (members)", "planned worst gap (scope: pool)")
    return _whole_sizes(figure, most)


def interval(told: Promise, tolerance: float | None) -> go.Figure:
    """Worst gap and its bound, beside the best single model's and what is tolerated."""
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
            xanchor="left",
            xshift=8,
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
    if tolerance is not None:
        figure.add_vline(tolerance, line={"color": "#ff5a36", "width": 2})
        figure.add_annotation(
            x=tolerance,
            y=1,
            yref="paper",
            text="tolerated",
            showarrow=False,
            xanchor="left",
            font={"color": "#c43c1c"},
        )
    most = max(told.worst, told.single, told.upper or 0.0, tolerance or 0.0)
    figure.update_layout(
        height=170,
        margin={"l": 8, "r": 8, "t": 20, "b": 36},
        xaxis={"title": "worst gap", "range": [0, 1.25 * most or 1.0], "fixedrange": True},
        yaxis={"autorange": "reversed", "automargin": True, "fixedrange": True},
    )
    return figure


def usage_bars(names: Sequence[str], shares: Sequence[float], colours: Sequence[str]) -> go.Figure:
    """Share of users by picked member."""
    figure = go.Figure(
        go.Bar(
            x=list(shares),
            y=list(names),
            orientation="h",
            marker_color=list(colours),
            texttemplate="%{x:.1%}",
            textposition="auto",
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )
    _axes(figure, "Share of users by picked member", "share of users", "", 130 + 34 * len(names))
    return figure.update_xaxes(tickformat=".0%").update_yaxes(autorange="reversed", automargin=True)


def chances(names: Sequence[str], shares: Sequence[float], colours: Sequence[str]) -> go.Figure:
    """How likely each member is near the best one."""
    figure = usage_bars(names, shares, colours)
    figure.update_layout(title="How likely each is right for you")
    return figure.update_xaxes(range=[0, 1.02], dtick=0.25, title="")


def _triangle(figure: go.Figure, traits: Sequence[str]) -> Floats:
    """Draw the triangle of three traits; returns its corners in their order, shape (3, 2)."""
    corners = np.array([[0.5, math.sqrt(0.75)], [0.0, 0.0], [1.0, 0.0]])
    outline = corners[[0, 1, 2, 0]]
    figure.add_scatter(
        x=outline[:, 0],
        y=outline[:, 1],
        mode="lines",
        line={"color": QUIET, "width": 1},
        showlegend=False,
        hoverinfo="skip",
    )
    for trait, (x, y) in zip(traits, corners, strict=True):
        figure.add_annotation(
            x=x, y=y, text=trait, showarrow=False, yshift=14 if y > 0 else -14, font={"size": 14}
        )
    return corners


def _in_triangle(figure: go.Figure, title: str) -> go.Figure:
    return figure.update_layout(
        title=title,
        height=400,
        margin=_MARGIN,
        legend={"orientation": "h", "y": -0.08, "yanchor": "top"},
        xaxis={"visible": False, "range": [-0.12, 1.12], "fixedrange": True},
        yaxis={"visible": False, "scaleanchor": "x", "range": [-0.12, 1.0], "fixedrange": True},
    )


def users(weights: Floats, gaps: Floats, traits: Sequence[str], tolerance: float) -> go.Figure:
    """Users as dots, coloured by what they lose: three traits as a triangle, else by two of them.

    Args:
        weights: shape (n, d).
        gaps: additive, shape (n,).
        traits: names of the d traits.
        tolerance: losses above are ringed.
    """
    figure = go.Figure()
    title = "Users by what matters to them, coloured by what they lose"
    three = len(traits) == 3
    at = weights @ _triangle(figure, traits) if three else weights[:, :2]
    hover = "<br>".join(f"{t} %{{customdata[{i}]:.2f}}" for i, t in enumerate(traits))
    beyond = gaps > tolerance
    figure.add_scatter(
        x=at[:, 0],
        y=at[:, 1],
        mode="markers",
        showlegend=False,
        marker={
            "color": gaps,
            "colorscale": "Viridis",
            "cmin": 0,
            "cmax": max(float(gaps.max()), tolerance),
            "size": 7,
            "colorbar": {"title": "gap", "thickness": 12, "len": 0.8},
            "line": {"color": "#ff5a36", "width": np.where(beyond, 1.5, 0)},
        },
        customdata=np.column_stack([weights, gaps, np.arange(len(gaps))]),
        hovertemplate=f"{hover}<br>gap %{{customdata[{len(traits)}]:.4f}}<extra></extra>",
    )
    if three:
        return _in_triangle(figure, title)
    _axes(figure, title, f"weight of {traits[0]}", f"weight of {traits[1]}", 400)
    return figure


def cloud(
    weights: Floats,
    member: NDArray[np.intp],
    names: Sequence[str],
    colours: Sequence[str],
    traits: Sequence[str],
    mean: Floats,
) -> go.Figure:
    """Weights coloured by the member picked there; three traits as a triangle, else bars.

    Args:
        weights: shape (n, d).
        member: number of the member picked at each, shape (n,).
        names: of the members.
        colours: of the members.
        traits: names of the d traits.
        mean: marked, shape (d,).
    """
    title = "Weights that agree with your answers"
    figure = go.Figure()
    if len(traits) != 3:
        low, high = np.quantile(weights, [0.1, 0.9], axis=0)
        figure.add_bar(
            x=mean.tolist(),
            y=list(traits),
            orientation="h",
            marker_color=OURS,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": (high - mean).clip(0).tolist(),
                "arrayminus": (mean - low).clip(0).tolist(),
            },
            hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        )
        _axes(figure, title, "weight (bars: mean; whiskers: 80 % of what agrees)", "", 320)
        return figure.update_yaxes(autorange="reversed", automargin=True).update_xaxes(
            range=[0, 1], tickformat=".0%"
        )
    corners = _triangle(figure, traits)
    at = weights @ corners
    for number, (name, colour) in enumerate(zip(names, colours, strict=True)):
        chosen = member == number
        figure.add_scatter(
            x=at[chosen, 0],
            y=at[chosen, 1],
            mode="markers",
            name=name,
            marker={"color": colour, "size": 6, "opacity": 0.55},
            customdata=weights[chosen],
            hovertemplate="<br>".join(
                f"{trait} %{{customdata[{i}]:.2f}}" for i, trait in enumerate(traits)
            )
            + f"<extra>{name}</extra>",
        )
    middle = mean @ corners
    _ring(figure, float(middle[0]), float(middle[1]))
    return _in_triangle(figure, title)


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
    title = "Planned and reached value of every trained candidate, at its own weights"
    _axes(figure, title, "planned value (scope: pool)", "reached value (evaluated)")
    return figure.update_yaxes(rangemode="normal")
