"""A population of users from a table: one row per user, one column of weights per trait."""

from __future__ import annotations

from typing import IO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from palm_engine.errors import InvalidInputError

MOST_USERS = 1_000_000


def read_users(file: IO[bytes] | str, traits: list[str], name: str) -> NDArray[np.float64]:
    """Weights of users from a CSV with one column per trait.

    Args:
        file: the CSV, or its path.
        traits: names of the d traits.
        name: of the file, for messages.

    Returns:
        Shape (users, d), each row scaled to sum 1.

    Raises:
        InvalidInputError: names the file, row and column.
    """
    try:
        frame = pd.read_csv(file, nrows=MOST_USERS + 1, encoding="utf-8")
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise InvalidInputError(f"{name}: can't be read as CSV: {error}") from error
    missing = [t for t in traits if t not in frame]
    if missing:
        raise InvalidInputError(
            f"{name}: no column {missing[0]!r}; one per trait is needed: {', '.join(traits)}"
        )
    if not 1 <= len(frame) <= MOST_USERS:
        raise InvalidInputError(
            f"{name}: needs 1 to {MOST_USERS:,} rows, has {len(frame):,} or more"
        )
    weights = np.column_stack(
        [pd.to_numeric(frame[t], errors="coerce").to_numpy(dtype=float) for t in traits]
    )
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        cell = str(frame[traits[column]].iloc[row])
        raise InvalidInputError(
            f"{name}, row {row + 2}, column {traits[column]}: {cell!r}; weights are numbers >= 0"
        )
    totals = weights.sum(axis=1)
    if (totals <= 0).any():
        raise InvalidInputError(
            f"{name}, row {int(np.argmax(totals <= 0)) + 2}: all weights are 0; give one above 0"
        )
    return np.asarray(weights / totals[:, None])
