"""Reads a table whose rewards are in [0, 1] already, with nothing to be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from palm_engine.errors import InvalidInputError
from palm_engine.tables.files import read_table_file
from palm_engine.tables.importing import import_table
from palm_engine.tables.reward_table import RewardTable
from palm_engine.tables.scaling import Scaling
from palm_engine.tables.spec import default_spec


def read_reward_table(path: Path | str, traits: Sequence[str] = ()) -> RewardTable:
    """Read a table of rewards that are in [0, 1] already; `palm import` takes all others.

    Args:
        path: CSV, TSV, Parquet, JSON or JSON Lines; one row per policy, or one per policy and
            prompt. Columns are recognised by name: policies (`policy`, `model`, ...), prompts,
            `cost`; every other column of numbers that looks like a score is a trait.
        traits: columns to take instead.

    Raises:
        InvalidInputError: names the file, row and column.
    """
    file = read_table_file(path)
    spec = default_spec(file, tuple(traits))
    plain = tuple(t.model_copy(update={"scaling": Scaling()}) for t in spec.traits)
    try:
        return import_table(file, spec.model_copy(update={"traits": plain}))
    except InvalidInputError as error:
        if "is not in [0, 1]" not in str(error):
            raise
        raise InvalidInputError(
            str(error).partition("; choose another")[0]
            + "; rewards are in [0, 1]: palm import takes other scales and directions"
        ) from error
