"""Cells as numbers: percent signs, thousands separators and decimal commas, each on purpose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from palm_engine._types import Floats

Decimal = Literal["auto", ".", ","]
MISSING = frozenset({"", "-", "--", "–", "—", "?", "na", "n/a", "nan", "null", "none", "nil"})
_COMMA_DECIMAL = re.compile(r"[+-]?(?:\d{1,3}(?:[. ']\d{3})+|\d+),(?:\d{1,2}|\d{4,})%?")
# What has one or two digits behind its point, or begins with 0, has its decimals there.
_POINT_DECIMAL = re.compile(
    r"[+-]?(?:\d{1,3}(?:[,' ]\d{3})+|\d*)\.(?:\d{1,2}|\d{4,})%?|[+-]?0?\.\d+%?"
)
# Cells, and rows, that are looked at for the sign.
_SEEN = 2_000_000
_SEEN_ROWS = 20_000
# Blanks and signs as typographers have them: 87,1 %, 1’234, −3.
_USUAL = {0xA0: " ", 0x202F: " ", 0x2009: " ", 0x2019: "'", 0x2212: "-"}
_UNUSUAL = re.compile(r"[\xa0\u202f\u2009\u2019\u2212]|\s%$")
_GROUPED = {
    ".": re.compile(r"[+-]?\d{1,3}(?:[,' ]\d{3})+(?:\.\d*)?(?:e[+-]?\d+)?"),
    ",": re.compile(r"[+-]?\d{1,3}(?:[.' ]\d{3})+(?:,\d*)?(?:e[+-]?\d+)?"),
}


@dataclass(frozen=True)
class Numbers:
    """A column as numbers.

    Attributes:
        values: NaN where a cell is missing or no number.
        missing: where a cell is empty or says that it is missing.
        wrong: where a cell is neither missing nor a number, or has no percent sign where others do.
        percent: whether cells carry percent signs; `values` are then percentages, as written.
    """

    values: Floats
    missing: np.ndarray
    wrong: np.ndarray
    percent: bool

    def why(self, cell: str) -> str:
        """Why a cell that is wrong is so, in words.

        Args:
            cell: as it is shown, in quotes.
        """
        if np.isfinite(_number(cell[1:-1], ".")):
            return f"{cell} and other cells are written with and without a percent sign"
        return f"{cell} is not a number"


def sign_of(frame: pd.DataFrame) -> Decimal:
    """The decimal sign of a table: a comma where some cell can only be read so and none by a point.

    One sign for all columns: `1.234` beside `0,75` is one thousand two hundred and thirty-four.
    `auto` where cells speak for both, or for none.
    """
    signs = set()
    most = min(len(frame), _SEEN_ROWS, max(_SEEN // max(len(frame.columns), 1), 100))
    some = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, most).astype(int))]
    for column in some.columns:
        cells = some[column]
        if pd.api.types.is_numeric_dtype(cells.dtype) or not is_plain(cells):
            continue
        words = _tidy(cells.dropna().astype(str))
        for sign, decimals in ((",", _COMMA_DECIMAL), (".", _POINT_DECIMAL)):
            if words.str.fullmatch(decimals).any():
                signs.add(sign)
    return "," if signs == {","} else "auto"


def is_plain(cells: pd.Series) -> bool:
    """Whether a column holds words or numbers: not times, bytes, lists or objects."""
    kind = cells.cat.categories.dtype if isinstance(cells.dtype, pd.CategoricalDtype) else None
    dtype = kind or cells.dtype
    if isinstance(dtype, pd.StringDtype):
        return True
    if pd.api.types.is_numeric_dtype(dtype):
        return not pd.api.types.is_bool_dtype(dtype)
    if not pd.api.types.is_object_dtype(dtype):
        return False
    odd = (bytes, bytearray, list, tuple, dict, set, np.ndarray)
    return not cells.map(lambda cell: isinstance(cell, odd)).any()


def numbers_of(cells: pd.Series, decimal: Decimal = "auto") -> Numbers:
    """Read a column's cells as numbers.

    Args:
        cells: text or numbers.
        decimal: the decimal sign; `auto` takes a comma where some cell can only be read so
            (`0,75`): `1,234` alone is one thousand two hundred and thirty-four. Of a whole table,
            `sign_of` tells it.
    """
    if not is_plain(cells):
        missing = cells.isna().to_numpy()
        return Numbers(np.full(len(cells), np.nan), missing, ~missing, False)
    if pd.api.types.is_numeric_dtype(cells):
        values = cells.to_numpy(dtype=float, na_value=np.nan)
        missing = np.isnan(values)
        return Numbers(values, missing, np.isinf(values), False)
    text = _tidy(cells.astype(object).where(cells.notna(), "").astype(str))
    missing = text.str.lower().isin(MISSING).to_numpy()
    present = text[~missing]
    signed = text.str.endswith("%").to_numpy()
    percent = bool(len(present)) and bool(signed[~missing].mean() > 0.5)
    sign = decimal
    if decimal == "auto":
        sign = "," if present.map(lambda t: bool(_COMMA_DECIMAL.fullmatch(t))).any() else "."
    values = np.full(len(text), np.nan)
    plain = pd.to_numeric(text, errors="coerce").to_numpy(dtype=float)
    if sign == "." and not percent and not np.isnan(plain[~missing]).any():
        values[~missing] = plain[~missing]  # nearly all tables: no cell needs a second look
    else:
        values[~missing] = [_number(t, sign) for t in present]
    wrong = ~missing & ~np.isfinite(values)
    if signed.any():
        # Percent or not: 0.6 beside 70% is 60 % or 0.6 %. Nothing is nothing.
        wrong |= ~missing & (signed != percent) & (values != 0)
    return Numbers(np.where(wrong, np.nan, values), missing, wrong, percent)


def _tidy(text: pd.Series) -> pd.Series:
    """Words with one kind of blank, apostrophe and minus, and no blank before a percent sign."""
    text = text.str.strip()
    if text.str.contains(_UNUSUAL).any():
        text = text.str.translate(_USUAL).str.replace(r"\s+%$", "%", regex=True)
    return text


def _number(text: str, decimal: str) -> float:
    text = text.removesuffix("%").lower()
    if _GROUPED[decimal].fullmatch(text):
        text = re.sub(r"[,' ]" if decimal == "." else r"[.' ]", "", text)
    if decimal == ",":
        if "." in text:
            return np.nan
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return np.nan
