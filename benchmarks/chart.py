"""Line charts as small SVG files beside RESULTS.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from palm_engine._files import write_whole

FOLDER = Path(__file__).resolve().parent / "plots"
COLOURS = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#CCBB44", "#66CCEE")
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
        content = StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    write_whole(FOLDER / f"{name}.svg", content.getvalue())
