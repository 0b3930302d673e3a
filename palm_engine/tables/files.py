"""Reads a table file as text cells: CSV, TSV, Parquet, JSON, JSON Lines.

Separator and encoding are recognised. What a cell means is decided later (`numbers.py`), so that
nothing is lost here: `007`, `1,5` and `NA` arrive as they were written.
"""

from __future__ import annotations

import csv
import io
import json
import re
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from palm_engine._csv import read_cells
from palm_engine._json import reason
from palm_engine._limits import JSON_SHARE, most_bytes, most_cells, most_columns
from palm_engine._parquet import read_parquet
from palm_engine.errors import InvalidInputError
from palm_engine.tables.numbers import Decimal, Numbers, numbers_of, sign_of

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".ndjson", ".json")
_SEPARATORS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class TableFile:
    """A table as it was read.

    Attributes:
        name: of the file.
        frame: its cells; text, or numbers where the format has them.
        first_row: the number of its first row of data, as an editor shows it.
        encoding: what its text was taken for where it isn't UTF-8; empty otherwise.
    """

    name: str
    frame: pd.DataFrame
    first_row: int
    encoding: str = ""

    @cached_property
    def _sign(self) -> Decimal:
        return sign_of(self.frame)

    def sign(self, decimal: Decimal = "auto") -> Decimal:
        """The decimal sign to read its cells with: as asked for, or recognised from all of them."""
        return self._sign if decimal == "auto" else decimal

    def numbers(self, column: str, decimal: Decimal = "auto") -> Numbers:
        """A column as numbers."""
        return numbers_of(self.frame[column], self.sign(decimal))

    def row(self, position: int) -> str:
        """The place of a row in words, for messages."""
        return f"{self.name}, row {position + self.first_row}"


def read_table_file(path: Path | str) -> TableFile:
    """Read a table.

    Args:
        path: a file of one of SUFFIXES.

    Raises:
        InvalidInputError: it is no table; names the file and, where known, the row.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise InvalidInputError(f"{path}: can't be read ({reason(error)})") from error
    if is_folder:
        raise InvalidInputError(f"{path}: is a folder; a table is a file ({', '.join(SUFFIXES)})")
    if not is_file:
        raise InvalidInputError(f"{path}: no such file")
    if suffix not in SUFFIXES:
        raise InvalidInputError(f"{path}: a table is a file of {', '.join(SUFFIXES)}")
    size = path.stat().st_size
    if suffix != ".parquet" and size > most_bytes():
        raise InvalidInputError(
            f"{path}: {size:,} bytes, which take {8 * size / 1e9:,.0f} GB when they are read; more"
            f" than {most_bytes():,} need PALM_MOST_BYTES, and memory for them. Parquet takes a"
            " tenth"
        )
    try:
        frame = _READERS[suffix](path)
    except InvalidInputError:
        raise
    except RecursionError as error:
        raise InvalidInputError(f"{path}: can't be read as a table: nested too deeply") from error
    except (ValueError, OSError, csv.Error) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InvalidInputError(f"{path}: can't be read as a table: {first}") from error
    _require_size(path, len(frame), len(frame.columns))
    frame.columns = [str(c).strip() for c in frame.columns]
    repeated = [name for name, count in Counter(frame.columns).items() if count > 1]
    if repeated:
        raise InvalidInputError(f"{path}: two columns are called {repeated[0]!r}; rename one")
    if not len(frame):
        raise InvalidInputError(f"{path}: no rows")
    first_row = 2 if suffix in (".csv", ".tsv", ".txt") else 1
    encoding = "" if suffix == ".parquet" else _encoding(path)
    assumed = "" if encoding in ("utf-8-sig", "utf-16") else encoding
    return TableFile(str(path), frame.reset_index(drop=True), first_row, assumed)


def _require_size(path: Path, rows: int, columns: int) -> None:
    if columns > most_columns() or rows * columns > most_cells():
        raise InvalidInputError(
            f"{path}: {rows:,} rows of {columns:,} columns; at most {most_columns():,} columns"
            f" (PALM_MOST_COLUMNS) and {most_cells():,} cells (PALM_MOST_CELLS) are read"
        )


def _require_few(path: Path, text: str) -> None:
    """Refuse JSON of more cells than there is room for: counted before they are made.

    Raises:
        InvalidInputError: it has more.
    """
    most = most_cells() // JSON_SHARE
    cells = text.count(":")
    if cells > most:  # some may stand in texts
        cells = sum(1 for _ in re.finditer(r'(?<!\\)"\s*:', text))
    cells = max(cells, text.count("{"), text.count("["))
    if cells > most:
        raise InvalidInputError(
            f"{path}: some {cells:,} cells; more than {most:,} in JSON need PALM_MOST_CELLS (ten"
            " times as many), and memory for them. CSV and Parquet take less"
        )


def _encoding(path: Path) -> str:
    """UTF-8, UTF-16 by its mark or its zeros, else what spreadsheets write on Windows."""
    with path.open("rb") as stream:
        start = stream.read(4000)
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "utf-16"
        zeros = [start[i::2].count(0) / max(len(start[i::2]), 1) for i in (0, 1)]
        if max(zeros) > 0.4 > min(zeros):
            return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
        decoder = getincrementaldecoder("utf-8-sig")()
        try:
            while start:
                decoder.decode(start)
                start = stream.read(1 << 20)
            decoder.decode(b"", True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def _text(path: Path) -> str:
    text = path.read_bytes().decode(_encoding(path))
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as old spreadsheets end their lines
    return text


def _separated(path: Path) -> pd.DataFrame:
    text = _text(path)
    if not text.strip():
        raise InvalidInputError(f"{path}: the file is empty")
    told = re.match(r"sep=(.)\r?\n", text)  # as Excel tells its separator
    if told:
        text = text[told.end() :]
    start = text[:200_000]
    most = max(start.partition("\n")[0].count(s) for s in _SEPARATORS)
    if most >= most_columns():
        raise InvalidInputError(
            f"{path}: the header has more than {most_columns():,} columns; keep those that matter"
            " (or set PALM_MOST_COLUMNS)"
        )
    separator = "\t" if path.suffix.lower() == ".tsv" else _widest(start)
    separator = told[1] if told else separator
    header = next(csv.reader(io.StringIO(start), delimiter=separator))
    names = [name.strip() for name in header]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InvalidInputError(f"{path}: two columns are called {repeated[0]!r}; rename one")
    if text.count(separator) > most_cells():  # before they are cells, which take more
        _require_size(path, text.count("\n"), len(names))
    return read_cells(io.StringIO(text), separator)


def _widest(start: str) -> str:
    """The separator that gives the header the most columns, and as many to the rows below it."""
    found = {}
    for separator in _SEPARATORS:
        rows = list(islice(csv.reader(io.StringIO(start), delimiter=separator), 20))
        alike = sum(len(row) == len(rows[0]) for row in rows)
        found[separator] = (len(rows[0]), alike)
    return max(_SEPARATORS, key=found.__getitem__)


def _json_lines(path: Path) -> pd.DataFrame:
    records = []
    text = _text(path)
    _require_few(path, text)
    # Not splitlines: JSON ends lines nowhere else.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=_each_once)
        except json.JSONDecodeError as error:
            raise InvalidInputError(
                f"{path}, row {number}: not valid JSON ({error.msg})"
            ) from error
        if not isinstance(record, dict):
            raise InvalidInputError(f"{path}, row {number}: not an object of columns")
        records.append(record)
    return _frame(path, records)


def _json(path: Path) -> pd.DataFrame:
    text = _text(path)
    _require_few(path, text)
    content = json.loads(text, object_pairs_hook=_each_once)
    if isinstance(content, dict):
        # {"data": [...]}, {column: [...]}, or {policy: {column: cell}}.
        lists = [v for v in content.values() if isinstance(v, list)]
        if len(content) == 1 and lists and all(isinstance(r, dict) for r in lists[0]):
            content = lists[0]
        elif len(lists) == len(content):
            _require_size(path, max(map(len, lists), default=0), len(content))
            return pd.DataFrame(content)
        elif content and all(isinstance(v, dict) for v in content.values()):
            content = [{"policy": k, **v} for k, v in content.items()]
    if not isinstance(content, list) or not all(isinstance(r, dict) for r in content):
        raise InvalidInputError(
            f"{path}: a JSON table is a list of objects, one per row, or an object of columns"
        )
    return _frame(path, content)


def _frame(path: Path, records: list[dict[str, Any]]) -> pd.DataFrame:
    """A row per record; its size is looked at before it is made, since each name is a column."""
    names: set[str] = set()
    for record in records:
        _gather(record, "", names)
        if len(names) > most_columns():
            break
    _require_size(path, len(records), len(names))
    return pd.json_normalize(records)


def _gather(record: dict[str, Any], inside: str, names: set[str]) -> None:
    for name, value in record.items():
        if isinstance(value, dict) and value:
            _gather(value, f"{inside}{name}.", names)
        else:
            names.add(inside + name)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(n for n, count in Counter(n for n, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice!r} stands twice in one row; rename one")
    return found


def _parquet(path: Path) -> pd.DataFrame:
    frame = read_parquet(path, InvalidInputError, "write it anew")
    # Models may be what pandas kept as the names of rows; numbers without a name are places.
    places = frame.index.names == [None] and pd.api.types.is_integer_dtype(frame.index)
    return frame.reset_index(drop=places)


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _separated,
    ".tsv": _separated,
    ".txt": _separated,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
}
