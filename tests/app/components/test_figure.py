"""Downloads of figures and tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.plain import inert_figure
from palm_engine._csv import csv_text


def test_names_make_no_links_in_figures() -> None:
    evil = '<a href="https://evil.example">me</a>'
    figure = go.Figure()
    figure.add_scatter(x=[1, 2], y=[evil, "b"], name=evil, text=[evil, "<b>bold</b>"])
    figure.add_bar(
        x=np.array([evil, "c"], dtype=object), y=np.array([1.0, 2.0]), customdata=[[evil]]
    )
    figure.update_layout(title=evil, annotations=[{"text": f"< A HREF='x'>{evil}"}])
    drawn = inert_figure(figure)
    assert "<a" not in str(drawn).lower().replace("< a", "<a")
    assert "&lt;a href" in drawn["data"][0]["name"]
    assert drawn["data"][0]["text"][1] == "<b>bold</b>", "our own marks stay"
    again = go.Figure(drawn)
    assert again.data[0].name == drawn["data"][0]["name"]


def test_csv_cells_that_a_spreadsheet_would_run_are_escaped() -> None:
    frame = pd.DataFrame(
        {"=a": ["=1+1", "+x", "-y", "@z", "plain", None], "n": [-1.5, 1, 2, 3, 4, 5]}
    )
    lines = csv_text(frame).splitlines()
    assert lines[0] == "'=a,n"
    assert [line.split(",")[0] for line in lines[1:]] == ["'=1+1", "'+x", "'-y", "'@z", "plain", ""]
    assert lines[1].endswith("-1.5")
