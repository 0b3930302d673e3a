"""Charts as small SVG files beside RESULTS.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from palm_engine._files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path(__file__).resolve().parent / "plots"
COLOURS = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#CCBB44", "#66CCEE")
MARKERS = ("*", "o", "s", "^", "D", "v", "P", "X", "<")
DASHES = ("-", "--", ":", "-.", (0, (8, 3)), (0, (1, 3)))


def line_chart(
    name: str, title: str, x: str, y: str, xs: Sequence[float], lines: Mapping[str, Sequence[float]]
) -> None:
    """Draw `lines` (label to a y for each of `xs`, from 0 up) into `plots/NAME.svg`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # No date and fixed ids: the same numbers give the same file.
    with mpl.rc_context({"svg.hashsalt": "palm-atlas", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        for i, (label, values) in enumerate(lines.items()):
            axes.plot(
                xs,
                values,
                label=label,
                color=COLOURS[i % len(COLOURS)],
                linestyle=DASHES[i % len(DASHES)],
                marker="o",
                markersize=4,
            )
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#d5dbe1")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        _write(figure, name)


def scatter_panels(
    name: str,
    title: str,
    x: str,
    y: str,
    panels: Mapping[str, Mapping[str, tuple[float, float]]],
) -> None:
    """Draw labelled points, a panel for each key of `panels`, into `plots/NAME.svg`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys(label for points in panels.values() for label in points))
    across = 3
    down = -(-len(panels) // across)
    with mpl.rc_context({"svg.hashsalt": "palm-atlas", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9.6, 3.2 * down + 0.9), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes, (of, points) in zip(grid, panels.items(), strict=False):
            for i, label in enumerate(labels):
                if label in points:
                    axes.scatter(
                        *points[label],
                        label=label,
                        color=COLOURS[i % len(COLOURS)],
                        marker=MARKERS[i % len(MARKERS)],
                        edgecolor="white",
                        linewidth=0.5,
                        s=120 if i == 0 else 50,
                        zorder=4 if i == 0 else 3,
                    )
            axes.set_title(of, fontsize=9)
            axes.set(xlabel=x, ylabel=y)
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
            axes.grid(color="#d5dbe1")
            axes.spines[["top", "right"]].set_visible(False)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        handles, names = next(iter(figure.axes)).get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False)
        figure.suptitle(title)
        _write(figure, name)


def _write(figure: Figure, name: str) -> None:
    content = StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    write_whole(FOLDER / f"{name}.svg", content.getvalue())
