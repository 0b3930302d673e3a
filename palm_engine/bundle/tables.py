"""The tables of a bundle, `prompts`, `samples` and `pool`: read within limits, checked whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from palm_engine._json import reason
from palm_engine._parquet import read_parquet
from palm_engine.errors import BundleError

# `all`: of an imported table, where members were not certified on prompts of their own.
SPLITS = ("train", "choose", "certify", "all")
# Columns of tables with scores; a trait of such a name would stand for two things.
RESERVED = frozenset(
    {"policy", "prompt_id", "sample_id", "text", "tokens", "source", "split", "finish_reason"}
)
_TEXTS = ("policy", "prompt_id", "source", "split", "text")
_COUNTS = ("sample_id", "tokens")


def require_unreserved(traits: Sequence[str]) -> None:
    """Check that no trait is called like a column of the tables.

    Raises:
        ValueError: names the trait.
    """
    for trait in traits:
        if trait in RESERVED:
            raise ValueError(
                f"traits: {trait!r} is a column of a bundle's tables; rename the trait"
            )


def read_table(path: Path, columns: Sequence[str], traits: Sequence[str]) -> pd.DataFrame:
    """A table of a bundle; empty where there is no such file.

    Args:
        path: of a Parquet file.
        columns: that it must have.
        traits: the columns that hold scores.

    Raises:
        BundleError: it is a link, can't be read, has too many rows, or holds what is no text,
            count or score; names column and row.
    """
    require_no_link(path)
    if not path.exists():
        return pd.DataFrame({c: pd.Series(dtype=object) for c in [*columns, *traits]})
    frame = read_parquet(path, BundleError, "rebuild it")
    missing = [c for c in (*columns, *traits) if c not in frame]
    if missing:
        raise BundleError(f"{path}: column {missing[0]!r} is missing")
    for column in columns:
        if column in _TEXTS:
            _require_texts(path, frame, column)
        elif column in _COUNTS:
            frame[column] = _counts(path, frame, column)
    for trait in traits:
        frame[trait] = _scores(path, frame, trait)
    return frame


def require_no_links(folder: Path, file: Path) -> None:
    """Check that nothing between a bundle's folder and a file in it is a link.

    Raises:
        BundleError: something is.
    """
    for path in (file, *file.parents):
        if path == folder:
            return
        require_no_link(path)


def require_no_link(path: Path) -> None:
    """Check that a bundle's file isn't a link out of its folder.

    Raises:
        BundleError: it is one, or can't be looked at.
    """
    try:
        is_link = path.is_symlink()
    except OSError as error:
        raise BundleError(f"{path}: can't be read ({reason(error)})") from error
    if is_link:
        raise BundleError(
            f"{path}: is a link; a bundle is read from its own folder only, so copy the file there"
        )


def require_prompts(path: Path, prompts: pd.DataFrame) -> None:
    """Check that prompts have ids of their own and a known split.

    Raises:
        BundleError: names the prompt.
    """
    repeated = prompts["prompt_id"].duplicated()
    if repeated.any():
        raise BundleError(
            f"{path}: prompt_id {prompts['prompt_id'][repeated].iloc[0]!r} is there twice"
        )
    if "cluster" in prompts:
        _require_texts(path, prompts, "cluster")
    strange = ~prompts["split"].isin(SPLITS)
    if strange.any():
        row = prompts[strange].iloc[0]
        raise BundleError(
            f"{path}: prompt {row['prompt_id']!r} has split {row['split']!r}, which is none of"
            f" {', '.join(SPLITS)}"
        )


def clusters_of(prompts: pd.DataFrame) -> list[str] | None:
    """The cluster of each prompt, in their order; None where they name none."""
    return list(prompts["cluster"]) if "cluster" in prompts else None


def require_known(
    path: Path, samples: pd.DataFrame, policies: Collection[str], prompts: pd.DataFrame
) -> None:
    """Check that answers are of policies and to prompts that the bundle has.

    Raises:
        BundleError: names the policy or the prompt.
    """
    for column, known in (("policy", set(policies)), ("prompt_id", set(prompts["prompt_id"]))):
        strange = set(samples[column].unique()) - known
        if strange:
            raise BundleError(
                f"{path}: {column} {min(strange)!r} is none of the bundle's; rebuild it"
            )


def _require_texts(path: Path, frame: pd.DataFrame, column: str) -> None:
    values = frame[column]
    plain = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    if isinstance(plain.dtype, pd.StringDtype):
        texts = not values.isna().any()
    else:
        texts = pd.api.types.infer_dtype(plain, skipna=False) in ("string", "empty")
        texts &= not values.isna().any()
    if not texts:
        rows = (i for i, value in enumerate(values) if not isinstance(value, str))
        raise BundleError(
            f"{path}: column {column!r}, row {next(rows, 0)}: no text; rebuild the bundle"
        )


def _counts(path: Path, frame: pd.DataFrame, column: str) -> pd.Series:
    values = frame[column]
    if not pd.api.types.is_integer_dtype(values.dtype):
        whole = pd.api.types.is_float_dtype(values.dtype) and (values % 1 == 0).all()
        if not whole and len(values):
            raise BundleError(f"{path}: column {column!r}: must hold whole numbers")
    small = ~((values >= 0) & (values < 2**31)) if len(values) else values.astype(bool)
    if small.any():
        row = int(np.flatnonzero(small.to_numpy())[0])
        raise BundleError(
            f"{path}: column {column!r}, row {row}: {values.iloc[row]} is no count of such things"
        )
    return values


def _scores(path: Path, frame: pd.DataFrame, trait: str) -> pd.Series:
    values = frame[trait]
    if not len(values):
        return values
    if not pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        raise BundleError(f"{path}: column {trait!r}: must hold scores, not {values.dtype}")
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        row = int(np.flatnonzero(wrong.to_numpy())[0])
        raise BundleError(
            f"{path}: column {trait!r}, row {row}: {values.iloc[row]} isn't a score in [0, 1]"
        )
    return values
