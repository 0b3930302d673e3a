"""Downloads of figures and tables."""

from __future__ import annotations

import pandas as pd

from app.components.figure import csv_text


def test_csv_cells_that_a_spreadsheet_would_run_are_escaped() -> None:
    frame = pd.DataFrame(
        {"=a": ["=1+1", "+x", "-y", "@z", "plain", None], "n": [-1.5, 1, 2, 3, 4, 5]}
    )
    lines = csv_text(frame).splitlines()
    assert lines[0] == "'=a,n"
    assert [line.split(",")[0] for line in lines[1:]] == ["'=1+1", "'+x", "'-y", "'@z", "plain", ""]
    assert lines[1].endswith("-1.5")
