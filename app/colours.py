"""Members' colours, the same in every figure.

Apart from the charts so that Explore needn't load plotly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from palm_engine.bundle.folder import Bundle

# Of traits, which never look like members: greys from dark to light, in the traits' order.
TRAIT_GREYS = (
    "#37424D",
    "#97A3AF",
    "#5F6C79",
    "#C3CCD4",
    "#4B5763",
    "#ADB8C2",
    "#75828F",
    "#D5DCE2",
)
FALLBACK_PALETTE = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#AA3377", "#66CCEE")


def colours_of(bundle: Bundle, rows: Sequence[int]) -> list[str]:
    """Colours of some candidates: a candidate keeps its own, whatever portfolio it is in.

    The bundle's members have the first ones, in their order.
    """
    count = len(bundle.policies)
    members = bundle.members
    own = set(members)
    order = [*members, *(i for i in range(count) if i not in own)]
    colours = dict(zip(order, palette(count), strict=True))
    return [colours[row] for row in rows]


def by_row(bundle: Bundle, rows: Sequence[int]) -> dict[int, str]:
    """`colours_of`, by row of the candidates."""
    return dict(zip(rows, colours_of(bundle, rows), strict=True))


def palette(count: int) -> list[str]:
    """Colours to tell apart, from the theme, in its order."""
    colours = list(st.get_option("theme.chartCategoricalColors") or FALLBACK_PALETTE)
    return [_varied(colours[i % len(colours)], i // len(colours)) for i in range(count)]


def _varied(colour: str, turn: int) -> str:
    """The colour itself at first.

    Where all have been used, a darker one, then a lighter one, and so on.
    """
    if turn == 0:
        return colour
    target, share = (0, 0.45) if turn % 2 else (255, 0.45)
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(p + share * (target - p)):02X}" for p in parts)
