"""Portfolio size against what it gives: exact, by method, planned."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.charts.parts import LIMIT, OURS, QUIET, axes, ring, whole_sizes
from palm_engine.analysis.comparison import MethodCurve
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.plan import PlanInfo
from palm_engine.analysis.verdict import Verdict

# Every method keeps its colour and its dash wherever it is drawn.
METHOD_LINES = {
    "greedy": ("#228833", "dash"),
    "palm": ("#AA3377", "dashdot"),
    "uniform": ("#CC8844", "dot"),
    "random": ("#8494a4", "longdash"),
}


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
    line = info.measured
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
        ring(figure, *in_use)
    if tolerance is not None:
        # Moved by hand (components/browser/drag.js), which knows it by its name.
        figure.add_hline(tolerance, line={"color": LIMIT, "width": 3}, name="tolerance")
        figure.add_annotation(
            x=1,
            xref="paper",
            y=tolerance,
            text="tolerated (drag)",
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            font={"color": "#c43c1c"},
        )
    if enough is not None and enough in info.sizes:
        figure.add_vrect(
            enough - 0.35,
            enough + 0.35,
            fillcolor="#228833",
            opacity=0.16,
            line_width=0,
            layer="below",
        )
    axes(
        figure,
        "Worst gap of the best portfolio of each size",
        "portfolio size (members)",
        f"worst gap ({unit})",
    )
    return whole_sizes(figure, max(info.sizes))


def multiples(
    told: Verdict, in_use: int | None, monthly: Sequence[float], currency: str
) -> go.Figure:
    """Small multiples by size: promised worst gap, expected gap, coverage, and what serving costs.

    Args:
        told: the verdict, with a row per size.
        in_use: the size in use; outlined.
        monthly: price of serving per month, by size.
        currency: of the prices.
    """
    sizes = [r.size for r in told.rows]
    parts = (
        ("worst gap, promised", [r.promised for r in told.rows], ".4f"),
        ("average loss", [r.expected for r in told.rows], ".4f"),
        ("within tolerance", [r.covered for r in told.rows], ".0%"),
        (f"per month ({currency})", list(monthly), ",.0f"),
    )
    figure = make_subplots(
        rows=2,
        cols=2,
        subplot_titles=[p[0] for p in parts],
        horizontal_spacing=0.16,
        vertical_spacing=0.28,
    )
    enough = None if told.enough is None else told.enough.size
    colours = ["#228833" if s == enough else OURS for s in sizes]
    outline = [3 if s == in_use else 0 for s in sizes]
    for place, (title, values, form) in enumerate(parts):
        at = {"row": 1 + place // 2, "col": 1 + place % 2}
        figure.add_bar(
            x=sizes,
            y=values,
            marker={"color": colours, "line": {"color": "#EE6677", "width": outline}},
            hovertemplate=f"%{{x}} members: %{{y:{form}}}<extra>{title}</extra>",
            showlegend=False,
            **at,
        )
        figure.update_yaxes(tickformat=form, fixedrange=True, **at)
        figure.update_xaxes(dtick=1, fixedrange=True, title="members", **at)
    figure.update_annotations(font={"size": 12})
    return figure.update_layout(height=400, margin={"l": 8, "r": 8, "t": 34, "b": 40})


def plan_curve(
    info: PlanInfo, chosen: tuple[int, float] | None, values: Sequence[float] = ()
) -> go.Figure:
    """Planned worst gap by size, before any training; the plan that is shown is ringed.

    Args:
        info: the plan.
        chosen: size and gap of what is shown.
        values: what the average user gets, by size, on an axis of its own; none if empty.
    """
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
        ring(figure, *chosen)
    if len(values):
        figure.add_scatter(
            x=[len(s.members) for s in info.curve],
            y=list(values),
            yaxis="y2",
            mode="lines+markers",
            name="value for the average user",
            line={"color": QUIET, "width": 2, "dash": "dot", "shape": "hv"},
            hovertemplate="%{x} members: average value %{y:.3f}<extra></extra>",
        )
        figure.update_layout(
            yaxis2={
                "overlaying": "y",
                "side": "right",
                "title": "average value (dotted)",
                "showgrid": False,
                "tickformat": ".3f",
                "nticks": 5,
                "fixedrange": True,
            },
            showlegend=False,
        )
    title = "What each further member buys"
    axes(figure, title, "portfolio size (members)", "planned worst gap")
    return whole_sizes(figure, most)
