"""A population of users, and how a portfolio serves it: everybody, by segment, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from palm_engine._limits import most_users
from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.fields import gap_field, is_within
from palm_engine.geometry.users import Users
from palm_engine.tables.files import TableFile

COUNTS = ("count", "counts", "users", "n", "number")
SEGMENTS = ("segment", "segments", "group", "cohort", "team")
EVERYBODY = "everybody"
MOST_SEGMENTS = 100


@dataclass(frozen=True)
class Served:
    """How some users are served.

    Attributes:
        segment: who they are.
        users: how many.
        within: share of them that lose at most the tolerance.
        expected: their mean gap.
        worst: the largest gap among them.
        shares: share of them that each member answers, shape (k,).
    """

    segment: str
    users: float
    within: float
    expected: float
    worst: float
    shares: Floats


@dataclass(frozen=True)
class Service:
    """How a portfolio serves a population (scope: sampled).

    Attributes:
        everybody: all of it.
        segments: one per segment, the worst served first; empty without segments.
        gaps: additive gap of each row, shape (m,).
        members: number of the member that is picked for each row, shape (m,).
        perplexity: effective number of members in use, 1 to k.
    """

    everybody: Served
    segments: tuple[Served, ...]
    gaps: Floats
    members: NDArray[np.intp]
    perplexity: float


def serve(
    portfolio: Floats, candidates: Floats, users: Users, tolerance: float, some: Sequence[int] = ()
) -> Service:
    """How a portfolio serves users.

    Args:
        portfolio: members, shape (k, d).
        candidates: shape (n, d).
        users: the population.
        tolerance: the largest loss that is tolerated, additive.
        some: rows of the users to look at; all if empty.
    """
    rows = np.array(some, dtype=int) if len(some) else np.arange(len(users.weights))
    field = gap_field(portfolio, candidates, users.weights[rows])
    counts = users.counts[rows]
    codes, names = _segments(users)

    def of(segment: str, chosen: NDArray[np.bool_]) -> Served:
        part = counts[chosen]
        share = part / part.sum()
        gaps = field.gap[chosen]
        taken = np.bincount(field.member[chosen], weights=share, minlength=len(portfolio))
        return Served(
            segment,
            float(part.sum()),
            float(share[is_within(gaps, tolerance)].sum()),
            float(share @ gaps),
            float(gaps.max()),
            np.asarray(taken, dtype=float),
        )

    everybody = of(EVERYBODY, np.ones(len(rows), dtype=bool))
    parts = [of(names[c], codes[rows] == c) for c in np.unique(codes[rows])] if names else []
    used = everybody.shares[everybody.shares > 0]
    return Service(
        everybody,
        tuple(sorted(parts, key=lambda p: -p.expected)),
        field.gap,
        field.member,
        float(np.exp(-(used * np.log(used)).sum())),
    )


def within(places: Floats, outlines: Sequence[Floats]) -> NDArray[np.intp]:
    """Which places lie inside one of some outlines, by the even-odd rule; their rows.

    Args:
        places: shape (n, 2).
        outlines: polygons, shape (corners, 2) each.
    """
    inside = np.zeros(len(places), dtype=bool)
    for outline in outlines:
        odd = np.zeros(len(places), dtype=bool)
        for (x, y), (u, v) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
            if y == v:
                continue
            crosses = (y > places[:, 1]) != (v > places[:, 1])
            odd ^= crosses & (places[:, 0] < x + (places[:, 1] - y) * (u - x) / (v - y))
        inside |= odd
    return np.flatnonzero(inside)


def who(users: Users, some: NDArray[np.intp]) -> tuple[Floats, tuple[tuple[str, float], ...]]:
    """Who some users are: their mean weights, and the share of them in each segment.

    Args:
        users: the population.
        some: rows of the users, at least one.

    Returns:
        Weights, shape (d,), and segments with shares, the largest first; none without segments.
    """
    share = users.counts[some] / users.counts[some].sum()
    codes, names = _segments(users)
    if not names:
        return share @ users.weights[some], ()
    parts = np.bincount(codes[some], weights=share, minlength=len(names))
    order = np.argsort(-parts, kind="stable")
    found = tuple((names[i], float(parts[i])) for i in order if parts[i] > 0)
    return share @ users.weights[some], found


def _segments(users: Users) -> tuple[NDArray[np.intp], list[str]]:
    """The number of each row's segment, and their names."""
    numbers, names = pd.factorize(np.array(users.segments, dtype=object))
    return np.asarray(numbers, dtype=np.intp), [str(n) for n in names]


def read_users(table: TableFile, traits: Sequence[str]) -> Users:
    """Users of a table: a column of weights per trait, and if it has them, counts and segments.

    Column names are compared without regard to case. Weights may sum to anything: only their
    ratios count.

    Args:
        table: as it was read.
        traits: names of the d traits.

    Raises:
        InvalidInputError: names the file, row and column.
    """
    frame = table.frame
    name = table.name
    known = {str(c).strip().lower(): str(c) for c in frame.columns}
    missing = [t for t in traits if t.lower() not in known]
    if missing:
        raise InvalidInputError(
            f"{name}: no column {missing[0]!r}; one per trait is needed: {', '.join(traits)} (it"
            f" has {', '.join(map(str, frame.columns))})"
        )
    if len(frame) > most_users():
        raise InvalidInputError(
            f"{name}: has {len(frame):,} rows; at most {most_users():,} (PALM_MOST_USERS)"
        )
    columns = [known[t.lower()] for t in traits]
    weights = np.column_stack([_column(table, c, "weights are numbers >= 0") for c in columns])
    totals = weights.sum(axis=1)
    if (totals <= 0).any():
        row = table.row(int(np.argmax(totals <= 0)))
        raise InvalidInputError(f"{row}: all weights are 0; give one above 0")
    taken = {t.lower() for t in traits}
    counted = next((known[c] for c in COUNTS if c in known and c not in taken), None)
    counts = np.ones(len(frame))
    if counted is not None:
        counts = _column(table, counted, "counts are numbers above 0")
        if (counts <= 0).any():
            row = table.row(int(np.argmax(counts <= 0)))
            raise InvalidInputError(f"{row}, column {counted}: counts are numbers above 0")
    grouped = next((known[c] for c in SEGMENTS if c in known and c not in taken), None)
    segments = () if grouped is None else tuple(frame[grouped].astype(str).str.slice(0, 80))
    if (distinct := len(set(segments))) > MOST_SEGMENTS:
        raise InvalidInputError(
            f"{name}, column {grouped}: {distinct:,} different segments; at most {MOST_SEGMENTS}."
            " Rename the column if it is no segment"
        )
    if not np.isfinite(totals).all() or not np.isfinite(counts.sum()):
        row = table.row(int(np.argmax(np.maximum(weights.max(axis=1), counts))))
        raise InvalidInputError(f"{row}: weights or counts are too large; give smaller numbers")
    return Users(weights / totals[:, None], counts, segments)


def sample_table(traits: Sequence[str]) -> str:
    """A small table of users, as CSV: what `read_users` takes."""
    rng = np.random.default_rng(0)
    lines = [",".join([*traits, "count", "segment"])]
    for segment, lean in (("support", 0), ("marketing", 1), ("everyone else", None)):
        for _ in range(4):
            alpha = np.ones(len(traits))
            if lean is not None:
                alpha[lean] = 4.0
            weights = rng.dirichlet(alpha)
            cells = [f"{100 * w:.0f}" for w in weights]
            lines.append(",".join([*cells, str(int(rng.integers(50, 500))), segment]))
    return "\n".join(lines) + "\n"


def _column(table: TableFile, column: str, rule: str) -> Floats:
    cells = table.frame[column]
    values = table.numbers(column).values
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InvalidInputError(f"{table.row(i)}, column {column}: {str(cells.iloc[i])!r}; {rule}")
    return np.asarray(values, dtype=float)
