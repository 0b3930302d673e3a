"""Reads a table file as text cells: CSV, TSV, Parquet, JSON, JSON Lines.

Separator and encoding are recognised. What a cell means is decided later (`numbers.py`), so that
nothing is lost here: `007`, `1,5` and `NA` arrive as they were written.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from palm_engine._csv import read_cells
from palm_engine._json import reason
from palm_engine._parquet import most_cells, read_parquet
from palm_engine.errors import InvalidInputError

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".ndjson", ".json")
MOST_BYTES = 2_000_000_000
MOST_COLUMNS = 2_000
_SEPARATORS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class TableFile:
    """A table as it was read.

    Attributes:
        name: of the file.
        frame: its cells; text, or numbers where the format has them.
        first_row: the number of its first row of data, as an editor shows it.
    """

    name: str
    frame: pd.DataFrame
    first_row: int

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
    if path.stat().st_size > MOST_BYTES:
        raise InvalidInputError(
            f"{path}: {path.stat().st_size:,} bytes, more than {MOST_BYTES:,}; Parquet takes a"
            " tenth of that"
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
    if len(frame.columns) > MOST_COLUMNS or frame.size > most_cells():
        raise InvalidInputError(
            f"{path}: {len(frame):,} rows of {len(frame.columns):,} columns; at most"
            f" {MOST_COLUMNS:,} columns and {most_cells():,} cells (PALM_MOST_CELLS) are read"
        )
    frame.columns = [str(c).strip() for c in frame.columns]
    repeated = [name for name, count in Counter(frame.columns).items() if count > 1]
    if repeated:
        raise InvalidInputError(f"{path}: two columns are called {repeated[0]!r}; rename one")
    if not len(frame):
        raise InvalidInputError(f"{path}: no rows")
    first_row = 2 if suffix in (".csv", ".tsv", ".txt") else 1
    return TableFile(str(path), frame.reset_index(drop=True), first_row)


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")  # what spreadsheets write on Windows


def _separated(path: Path) -> pd.DataFrame:
    text = _text(path)
    if not text.strip():
        raise InvalidInputError(f"{path}: the file is empty")
    start = text[:200_000]
    most = max(start.partition("\n")[0].count(s) for s in _SEPARATORS)
    if most >= MOST_COLUMNS:
        raise InvalidInputError(
            f"{path}: the header has more than {MOST_COLUMNS:,} columns; keep those that matter"
        )
    separator = "\t" if path.suffix.lower() == ".tsv" else _widest(start)
    header = next(csv.reader(io.StringIO(start), delimiter=separator))
    names = [name.strip() for name in header]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InvalidInputError(f"{path}: two columns are called {repeated[0]!r}; rename one")
    return read_cells(io.StringIO(text), separator)


def _widest(start: str) -> str:
    """The separator that gives the header the most columns."""
    columns = {s: len(next(csv.reader(io.StringIO(start), delimiter=s))) for s in _SEPARATORS}
    return max(_SEPARATORS, key=columns.__getitem__)


def _json_lines(path: Path) -> pd.DataFrame:
    records = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InvalidInputError(
                f"{path}, row {number}: not valid JSON ({error.msg})"
            ) from error
        if not isinstance(record, dict):
            raise InvalidInputError(f"{path}, row {number}: not an object of columns")
        records.append(record)
    return pd.json_normalize(records)


def _json(path: Path) -> pd.DataFrame:
    content = json.loads(_text(path))
    if isinstance(content, dict):
        # {"data": [...]}, {column: [...]}, or {policy: {column: cell}}.
        lists = [v for v in content.values() if isinstance(v, list)]
        if len(content) == 1 and lists and all(isinstance(r, dict) for r in lists[0]):
            content = lists[0]
        elif len(lists) == len(content):
            return pd.DataFrame(content)
        elif content and all(isinstance(v, dict) for v in content.values()):
            content = [{"policy": k, **v} for k, v in content.items()]
    if not isinstance(content, list) or not all(isinstance(r, dict) for r in content):
        raise InvalidInputError(
            f"{path}: a JSON table is a list of objects, one per row, or an object of columns"
        )
    return pd.json_normalize(content)


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _separated,
    ".tsv": _separated,
    ".txt": _separated,
    ".parquet": partial(read_parquet, error=InvalidInputError, hint="write it anew"),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
}
