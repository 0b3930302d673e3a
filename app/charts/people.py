"""Users: who answers them, what they lose, what is known of one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.charts.parts import CORNERS, LIMIT, axes, in_triangle, ring, triangle
from app.colours import TRAIT_GREYS
from palm_engine._types import Floats


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
    axes(figure, "Share of users by picked member", "share of users", "", 130 + 34 * len(names))
    return figure.update_xaxes(tickformat=".0%").update_yaxes(autorange="reversed", automargin=True)


def worst_places(
    weights: Floats,
    gaps: Floats,
    names: Sequence[str],
    colours: Sequence[str],
    traits: Sequence[str],
    chosen: int,
) -> go.Figure:
    """Where most is lost: numbered by rank, as large as the loss, in the picked member's colour.

    Three traits as a triangle, else a bar of weights per place.

    Args:
        weights: of the places, worst first, shape (n, d).
        gaps: additive, shape (n,).
        names: of the member that is picked at each.
        colours: of these members.
        traits: names of the d traits.
        chosen: the place that is ringed.
    """
    figure = go.Figure()
    title = "Who is served worst"
    hover = "<br>".join(f"{t} %{{customdata[{i}]:.2f}}" for i, t in enumerate(traits))
    if len(traits) != 3:
        for i, trait in enumerate(traits):
            figure.add_bar(
                x=weights[:, i].tolist(),
                y=[f"{n + 1}: loses {gap:.4f}" for n, gap in enumerate(gaps)],
                name=trait,
                marker={"color": TRAIT_GREYS[i % len(TRAIT_GREYS)]},
                orientation="h",
                hovertemplate=f"{trait} %{{x:.2f}}<extra></extra>",
            )
        axes(figure, title, "weights, side by side", "", 130 + 34 * len(gaps), barmode="stack")
        return figure.update_yaxes(autorange="reversed", automargin=True)
    at = weights @ triangle(figure, traits, 32)
    figure.add_scatter(
        x=at[:, 0],
        y=at[:, 1],
        mode="markers+text",
        cliponaxis=False,
        showlegend=False,
        text=[str(n + 1) for n in range(len(gaps))],
        textposition="middle center",
        textfont={"color": "white", "size": 11},
        marker={
            "color": list(colours),
            "size": 18 + 22 * gaps / max(float(gaps.max()), 1e-12),
            "opacity": 1,
            "line": {"color": LIMIT, "width": np.where(np.arange(len(gaps)) == chosen, 4, 0)},
        },
        customdata=np.column_stack([weights, gaps]),
        hovertext=list(names),
        hovertemplate=f"{hover}<br>loses %{{customdata[{len(traits)}]:.4f}}"
        "<extra>%{hovertext} is picked</extra>",
    )
    return in_triangle(figure, title)


def chances(names: Sequence[str], shares: Sequence[float], colours: Sequence[str]) -> go.Figure:
    """How likely each member is near the best one."""
    figure = usage_bars(names, shares, colours)
    figure.update_layout(title="How likely each is right for you")
    return figure.update_xaxes(range=[0, 1.02], dtick=0.25, title="")


def user_places(weights: Floats) -> Floats:
    """Where `users` draws users, shape (n, 2).

    Args:
        weights: shape (n, d).
    """
    return weights @ CORNERS if weights.shape[1] == 3 else weights[:, :2]


def users(
    weights: Floats,
    gaps: Floats,
    traits: Sequence[str],
    tolerance: float,
    title: str = "",
    most: float = 0.0,
) -> go.Figure:
    """Users as dots, coloured by what they lose: three traits as a triangle, else by two of them.

    Args:
        weights: shape (n, d).
        gaps: additive, shape (n,).
        traits: names of the d traits.
        tolerance: losses above are ringed.
        title: of the figure; a general one if empty.
        most: the loss at the end of the scale; theirs, or the tolerance, if that is larger.
    """
    figure = go.Figure()
    title = title or "Users by what matters to them,<br>coloured by what they lose"
    three = len(traits) == 3
    if three:
        triangle(figure, traits)
    at = user_places(weights)
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
            "cmax": max(float(gaps.max()), tolerance, most),
            "size": 7,
            "colorbar": {"title": "gap", "thickness": 12, "len": 0.8},
            "line": {"color": LIMIT, "width": np.where(beyond, 1.5, 0)},
        },
        customdata=np.column_stack([weights, gaps, np.arange(len(gaps))]),
        hovertemplate=f"{hover}<br>gap %{{customdata[{len(traits)}]:.4f}}<extra></extra>",
    )
    if three:
        return in_triangle(figure, title)
    axes(figure, title, f"weight of {traits[0]}", f"weight of {traits[1]}", 400)
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
            marker_color=list(TRAIT_GREYS[: len(traits)]),
            error_x={
                "type": "data",
                "symmetric": False,
                "array": (high - mean).clip(0).tolist(),
                "arrayminus": (mean - low).clip(0).tolist(),
            },
            hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        )
        axes(figure, title, "weight (bars: mean; whiskers: 80 % of what agrees)", "", 320)
        return figure.update_yaxes(autorange="reversed", automargin=True).update_xaxes(
            range=[0, 1], tickformat=".0%"
        )
    corners = triangle(figure, traits)
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
    ring(figure, float(middle[0]), float(middle[1]))
    return in_triangle(figure, title)
