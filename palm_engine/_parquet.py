"""Parquet files from outside: how much they hold is looked at before it is read.

A few bytes of a run-length encoded column stand for a billion rows, and one long text that is kept
once may stand in every one of them.
"""

from __future__ import annotations

import stat
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from palm_engine._json import reason
from palm_engine._limits import most_cells, most_columns, most_text
from palm_engine.errors import PalmError

# A column of texts that can't take more than this is read as it is, in bytes.
_PLAIN = 100_000_000


def read_parquet(path: Path, error: type[PalmError], hint: str) -> pd.DataFrame:
    """The table in a Parquet file.

    Args:
        path: a regular file.
        error: what is raised where it can't be read.
        hint: what to do then.

    Raises:
        PalmError: of the kind `error`: it can't be read, or has too many cells, columns or letters.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise error(f"{path}: no regular file; {hint}")
        with pq.ParquetFile(path) as file:
            _require_room(path, file.metadata, error)
        return pd.read_parquet(path)
    except PalmError:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError, pa.ArrowException) as odd:
        why = reason(odd) if isinstance(odd, OSError) else type(odd).__name__
        raise error(f"{path}: not a readable Parquet file ({why[:200]}); {hint}") from odd


def _require_room(path: Path, meta: Any, error: type[PalmError]) -> None:
    """Refuse a file that holds more than the limits, from what it tells of itself."""
    if meta.num_columns > most_columns():
        raise error(
            f"{path}: {meta.num_columns:,} columns; more than {most_columns():,} need"
            " PALM_MOST_COLUMNS"
        )
    chunks = [
        meta.row_group(group).column(column)
        for group, column in product(range(meta.num_row_groups), range(meta.num_columns))
    ]
    cells = max(sum(c.num_values for c in chunks), meta.num_rows * meta.num_columns)
    if cells > most_cells():
        raise error(
            f"{path}: {meta.num_rows:,} rows of {meta.num_columns:,} columns, {cells:,} cells; more"
            f" than {most_cells():,} need PALM_MOST_CELLS, and memory for them"
        )
    most = most_text()
    size = sum(c.total_uncompressed_size for c in chunks)
    # In a column of texts every row may have the longest one, which is stored once.
    repeating = {
        c.path_in_schema
        for c in chunks
        if c.physical_type == "BYTE_ARRAY"
        and c.has_dictionary_page
        and c.num_values * c.total_uncompressed_size > _PLAIN
    }
    if size <= most:
        size = max(size, _text_bytes(path, sorted(repeating), most))
    if size > most:
        raise error(
            f"{path}: takes {size / 1e9:,.0f} GB or more when it is read; more than"
            f" {most / 1e9:,.0f} GB need PALM_MOST_TEXT (in bytes), and memory for them"
        )


def _text_bytes(path: Path, columns: list[str], most: int) -> int:
    """What the texts of `columns` take where each is kept as often as it stands there, in bytes.

    Counted until it is more than `most`; the texts themselves are read as they are stored.
    """
    import pyarrow.parquet as pq

    total = 0
    with pq.ParquetFile(path, read_dictionary=columns) as file:
        for group, column in product(range(file.metadata.num_row_groups), columns):
            if total <= most:
                for found in file.read_row_group(group, columns=[column]).columns:
                    total += sum(map(_decoded_bytes, found.chunks))
    return total


def _decoded_bytes(array: Any) -> int:
    """Bytes of the texts in an Arrow array, nested ones included."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        lengths = pc.take(pc.binary_length(array.dictionary), array.indices)
        return int(pc.sum(pc.cast(lengths, pa.int64())).as_py() or 0)
    if pa.types.is_struct(array.type):
        return sum(map(_decoded_bytes, array.flatten()))
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return _decoded_bytes(array.flatten())
    return 0
