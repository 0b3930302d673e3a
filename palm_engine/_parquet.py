"""Parquet files from outside: how much they hold is looked at before it is read.

A few bytes of a run-length encoded column stand for a billion rows.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pandas as pd

from palm_engine._json import reason
from palm_engine.errors import PalmError

# Cells of a table; PALM_MOST_CELLS allows more where there is memory for them.
MOST_CELLS = 100_000_000


def most_cells() -> int:
    """How many cells a table may have: PALM_MOST_CELLS, or MOST_CELLS."""
    named = os.environ.get("PALM_MOST_CELLS", "")
    return int(named) if named.isdecimal() and len(named) < 16 else MOST_CELLS


def read_parquet(path: Path, error: type[PalmError], hint: str) -> pd.DataFrame:
    """The table in a Parquet file.

    Args:
        path: a regular file.
        error: what is raised where it can't be read.
        hint: what to do then.

    Raises:
        PalmError: of the kind `error`: it can't be read, or has too many cells.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise error(f"{path}: no regular file; {hint}")
        with pq.ParquetFile(path) as file:
            rows = file.metadata.num_rows
            columns = file.metadata.num_columns
        if rows * columns > most_cells():
            raise error(
                f"{path}: {rows:,} rows of {columns:,} columns; more than {most_cells():,} cells"
                " need PALM_MOST_CELLS, and memory for them"
            )
        return pd.read_parquet(path)
    except PalmError:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError, pa.ArrowException) as odd:
        why = reason(odd) if isinstance(odd, OSError) else type(odd).__name__
        raise error(f"{path}: not a readable Parquet file ({why[:200]}); {hint}") from odd
