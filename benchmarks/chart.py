"""A line chart as a small SVG file beside RESULTS.md.

No plotting library, readable in any browser and on GitHub.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from benchmarks.common import write_whole

FOLDER = Path(__file__).resolve().parent / "plots"
COLOURS = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#CCBB44", "#66CCEE")
DASHES = ("", "6 4", "2 3", "8 3 2 3", "12 4", "1 4")
WIDTH = 640
HEIGHT = 360
LEFT = 70
TOP = 44
RIGHT = 20
BOTTOM = 56


def line_chart(
    name: str, title: str, x: str, y: str, xs: Sequence[float], lines: Mapping[str, Sequence[float]]
) -> None:
    """Draw `lines` (label to a y for each of `xs`, from 0 up) into `plots/NAME.svg`."""
    top = max(max(values) for values in lines.values()) * 1.05 or 1.0
    low = min(xs)
    high = max(xs)

    def at(a: float, b: float) -> tuple[float, float]:
        share = (a - low) / (high - low or 1.0)
        return LEFT + share * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - b / top * (
            HEIGHT - TOP - BOTTOM
        )

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
            f' font-family="sans-serif" font-size="12"><title>{escape(title)}</title><rect'
            ' width="100%" height="100%" fill="#ffffff"/>'
        ),
        f'<text x="{LEFT}" y="22" font-size="14" font-weight="600">{escape(title)}</text>',
        (
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}"'
            f' text-anchor="middle">{escape(x)}</text>'
        ),
        (
            f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)"'
            f' text-anchor="middle">{escape(y)}</text>'
        ),
    ]
    for i in range(5):
        value = top * i / 4
        _, height = at(low, value)
        parts.append(
            f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="#d5dbe1"/>'
            f'<text x="{LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    for a in xs:
        place, _ = at(a, 0)
        parts.append(
            f'<text x="{place:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{a:g}</text>'
        )
    for i, (label, values) in enumerate(lines.items()):
        points = " ".join(
            f"{p:.1f},{q:.1f}" for p, q in (at(a, b) for a, b in zip(xs, values, strict=True))
        )
        colour = COLOURS[i % len(COLOURS)]
        dash = DASHES[i % len(DASHES)]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"'
            f' stroke-dasharray="{dash}"/><text x="{LEFT + 8}" y="{TOP + 14 + 16 * i}"'
            f' fill="{colour}" font-weight="600">{escape(label)}</text>'
        )
    FOLDER.mkdir(exist_ok=True)
    write_whole(FOLDER / f"{name}.svg", "\n".join([*parts, "</svg>"]) + "\n")
