"""CSV files: read whole or refused, as text cells, and written so that no cell is run.

No cell is shifted or left out in silence.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from palm_engine._json import read_text, reason
from palm_engine._limits import most_bytes

# A cell that begins so is a formula to a spreadsheet.
RISKY = ("=", "+", "-", "@", "\t", "\r")


def csv_text(frame: pd.DataFrame) -> str:
    """CSV in which no text begins like a formula, which a spreadsheet would run.

    Such cells get a leading '.
    """
    safe = frame.rename(columns=lambda c: _safe(str(c)))
    safe = safe.map(lambda cell: _safe(cell) if isinstance(cell, str) else cell)
    return safe.to_csv(index=False, float_format="%.12g")


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(RISKY) else text


def read_cells(source: Path | io.StringIO, separator: str = ",", types: Any = str) -> pd.DataFrame:
    """The cells of a CSV file, as they are written.

    Args:
        source: a file in UTF-8, or its text.
        separator: of cells.
        types: of the columns, as pandas takes them; text if not given.

    Raises:
        ValueError: it can't be read, or a row has more cells than the header; says why.
    """
    if isinstance(source, Path):
        try:
            source = io.StringIO(read_text(source, most_bytes()))
        except OSError as error:
            raise ValueError(reason(error)) from error
    with warnings.catch_warnings():
        # Where all rows have one cell more than the header, the last ones would be left out.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(
                source, sep=separator, dtype=types, keep_default_na=False, index_col=False
            )
        except pd.errors.ParserWarning as error:
            raise ValueError(
                "a row has more cells than the header has columns; texts with separators belong in"
                " quotes"
            ) from error
