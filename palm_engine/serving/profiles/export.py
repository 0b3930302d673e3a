"""Users and recorded traffic as tables: what the population readers of this project take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from palm_engine._csv import csv_text
from palm_engine._files import whole_file, write_whole
from palm_engine.errors import InvalidInputError
from palm_engine.serving.profiles.profile import Asked, Profile

# Of weights: requests that differ by less are counted together.
DIGITS = 6


def users_table(profiles: Iterable[Profile]) -> pd.DataFrame:
    """A row per user: a column per trait, then user, source and at.

    Traits that a user's weights don't name count 0.
    """
    rows = [
        {**p.weights, "user": p.user, "source": p.source, "at": p.at.isoformat()} for p in profiles
    ]
    return _filled(pd.DataFrame(rows), ("user", "source", "at"))


def traffic_table(
    requests: Iterable[Asked], with_default: bool = False, bundle: str = ""
) -> tuple[pd.DataFrame, int]:
    """Recorded requests by weights: a column per trait, then count and segment (their source).

    Args:
        requests: as recorded.
        with_default: whether to count those whose weights nobody gave.
        bundle: whose requests count; needed where several were served.

    Returns:
        The table, and how many requests were left out.

    Raises:
        InvalidInputError: they were of several bundles, and none is named.
    """
    served: set[str] = set()
    counts: Counter[tuple[tuple[tuple[str, float], ...], str]] = Counter()
    left = 0
    for request in requests:
        if bundle and request.bundle != bundle:
            continue
        served.add(request.bundle)
        if request.source == "default" and not with_default:
            left += 1
            continue
        rounded = {t: round(w, DIGITS) for t, w in request.weights.items()}
        counts[tuple(sorted(rounded.items())), request.source] += 1
    if len(served) > 1:
        raise InvalidInputError(
            f"requests of several bundles were recorded, {', '.join(sorted(served))}: name one"
            " (--bundle)"
        )
    rows = [
        {**dict(weights), "count": count, "segment": source}
        for (weights, source), count in counts.items()
    ]
    return _filled(pd.DataFrame(rows), ("count", "segment")), left


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table whole.

    Raises:
        InvalidInputError: the name ends in neither .csv nor .parquet.
    """
    if path.suffix == ".csv":
        write_whole(path, csv_text(table))
    elif path.suffix == ".parquet":
        with whole_file(path) as part:
            table.to_parquet(part, index=False)
    else:
        raise InvalidInputError(f"{path}: end its name in .csv or .parquet")


def _filled(table: pd.DataFrame, others: tuple[str, ...]) -> pd.DataFrame:
    """Traits first, with 0 where a row doesn't name one."""
    if table.empty:
        return table
    traits = [c for c in table.columns if c not in others]
    return table[[*traits, *others]].fillna(dict.fromkeys(traits, 0.0))
