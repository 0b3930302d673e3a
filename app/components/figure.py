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

from app.plain import inert_figure
from palm_engine._csv import csv_text

SCRIPT = Path(__file__).resolve().parent / "browser" / "save.js"
_save = st.components.v2.component("palm_atlas.save", js=SCRIPT.read_text(encoding="utf-8"))


def css_key(key: str) -> str:
    """A widget's key as Streamlit writes it into the class of its element, after `st-key-`."""
    return re.sub(r"[^a-zA-Z0-9_-]", "-", key)


def draw(figure: go.Figure, **more: Any) -> Any:
    """Draw a figure with names of bundles and users in it; as st.plotly_chart, which this calls."""
    return st.plotly_chart(inert_figure(figure), **more)


def show(
    figure: go.Figure,
    numbers: pd.DataFrame,
    name: str,
    key: str,
    alt: str,
    movable: bool = False,
    **more: Any,
) -> Any:
    """Show `figure` with its downloads; returns what st.plotly_chart does.

    `name` is the files' name; `movable`: whether lines and boxes above the data can be moved.
    """
    event = draw(
        figure,
        key=key,
        alt=alt,
        config={
            "displaylogo": False,
            "edits": {"shapePosition": movable},
            "toImageButtonOptions": {"format": "svg", "filename": name, "scale": 2},
        },
        **more,
    )
    with st.popover("Download", icon=":material/download:", key=f"download.{key}"):
        _save(key=f"save.{key}", data={"chart": css_key(key)})
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
