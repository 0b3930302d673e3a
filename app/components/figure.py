"""A figure with its downloads.

The image as SVG or PNG (made in the browser), the numbers behind it as CSV.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

SCRIPT = Path(__file__).resolve().parent / "browser" / "save.js"
_save = st.components.v2.component("palm_atlas.save", js=SCRIPT.read_text(encoding="utf-8"))
RISKY = ("=", "+", "-", "@", "\t", "\r")


def csv_text(frame: pd.DataFrame) -> str:
    """CSV in which no text begins like a formula, which a spreadsheet would run.

    Such cells get a leading '.
    """
    safe = frame.rename(columns=lambda c: _safe(str(c)))
    return safe.map(lambda cell: _safe(cell) if isinstance(cell, str) else cell).to_csv(index=False)


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(RISKY) else text


def show(
    figure: go.Figure, numbers: pd.DataFrame, name: str, key: str, alt: str, **more: Any
) -> Any:
    """Show `figure` with its downloads; returns what st.plotly_chart does.

    `name` is the files' name.
    """
    event = st.plotly_chart(
        figure,
        key=key,
        alt=alt,
        config={
            "displaylogo": False,
            "toImageButtonOptions": {"format": "svg", "filename": name, "scale": 2},
        },
        **more,
    )
    with st.popover("Download", icon=":material/download:", key=f"download.{key}"):
        # As Streamlit writes keys into classes.
        _save(key=f"save.{key}", data={"chart": re.sub(r"[^a-zA-Z0-9_-]", "-", key)})
        st.download_button(
            "Numbers as CSV",
            csv_text(numbers),
            f"{name}.csv",
            "text/csv",
            on_click="ignore",
            key=f"csv.{key}",
        )
    return event


def numbers(
    frame: pd.DataFrame, digits: int = 4, places: Mapping[str, int] | None = None, **more: Any
) -> Any:
    """A table with its fractions to `digits` places, or a column's own.

    Returns what st.dataframe does.
    """
    fractions = {c: digits for c in frame.columns if pd.api.types.is_float_dtype(frame[c])} | dict(
        places or {}
    )
    config = {
        c: st.column_config.NumberColumn(format=f"%.{count}f") for c, count in fractions.items()
    }
    return st.dataframe(frame, hide_index=True, column_config=config, placeholder="", **more)


def table(
    frame: pd.DataFrame, name: str, key: str, places: Mapping[str, int] | None = None, **more: Any
) -> Any:
    """A table with its CSV; returns what st.dataframe does."""
    event = numbers(frame, places=places, key=key, **more)
    st.download_button(
        "Table as CSV",
        csv_text(frame),
        f"{name}.csv",
        "text/csv",
        on_click="ignore",
        key=f"csv.{key}",
        icon=":material/download:",
    )
    return event
