"""The oracle calls that a method made, and the choice among what they found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palm_engine._types import Floats, Scope
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import WorstGap, worst_gap
from palm_engine.oracles.interface import Oracle
from palm_engine.oracles.table import TableOracle
from palm_engine.selection.options import Options
from palm_engine.selection.result import Selection


class Calls:
    """The oracle calls of a method, in calling order.

    Attributes:
        weights: asked, (n, d).
        points: found, (n, d).
        optima: values reached, (n,).
        rows: of a table, (n,); empty otherwise.
    """

    def __init__(self, oracle: Oracle) -> None:
        """No calls yet to `oracle`."""
        self.oracle = oracle
        self.weights = np.empty((0, oracle.d))
        self.points = np.empty((0, oracle.d))
        self.optima = np.empty(0)
        self.rows = np.empty(0, dtype=np.intp)

    def __len__(self) -> int:
        return len(self.weights)

    def ask(self, weights: Floats) -> None:
        """Call the oracle.

        Args:
            weights: shape (m, d).
        """
        answers = self.oracle.answer(weights)
        self.weights = np.vstack([self.weights, weights])
        self.points = np.vstack([self.points, answers.points])
        self.optima = np.concatenate([self.optima, answers.optimum])
        if answers.rows is not None:
            self.rows = np.concatenate([self.rows, answers.rows])

    def has_asked(self, w: Floats, tolerance: float = 1e-9) -> bool:
        """Whether the oracle was called at weights `w` (d,) already."""
        return bool(len(self) and (np.abs(self.weights - w).max(axis=1) <= tolerance).any())

    def pool(self, options: Options) -> FoundPool:
        """What may be chosen from: the policies found, of a table its eligible rows.

        Raises:
            InvalidInputError: rows are included or excluded, and the oracle has none.
        """
        if isinstance(self.oracle, TableOracle):
            options.check_rows(len(self.oracle.points))
            rows = np.unique(np.concatenate([self.rows, np.array(options.include, dtype=np.intp)]))
            rows = rows[~np.isin(rows, options.exclude)]
            if not len(rows):
                rows = options.eligible(len(self.oracle.points))[:1]
            include = tuple(int(np.flatnonzero(rows == i)[0]) for i in options.include)
            return FoundPool(
                self, self.oracle.points[rows], self.oracle.points, rows, include, options
            )
        if options.include or options.exclude:
            raise InvalidInputError(
                "including and excluding name rows of a table; this oracle has none"
            )
        return FoundPool(self, self.points, self.points, np.arange(len(self)), (), options)


@dataclass(frozen=True)
class FoundPool:
    """Policies that may be chosen.

    Attributes:
        calls: that found them.
        points: shape (n, d).
        comparators: what the gap is measured against, (m, d).
        rows: their rows in the table, (n,).
        include: rows of `points` that must be members.
        options: of the selection.
    """

    calls: Calls
    points: Floats
    comparators: Floats
    rows: NDArray[np.intp]
    include: tuple[int, ...]
    options: Options

    def selection(
        self,
        method: str,
        chosen: Sequence[int],
        started: float,
        stopped: str,
        gap: WorstGap | None = None,
        scope: Scope | None = None,
    ) -> Selection:
        """The result for some rows of `points`.

        Without a table the comparators are only what was found, so the scope is `sampled`.

        Args:
            method: its name.
            chosen: rows of `points`.
            started: time.perf_counter() at the start.
            stopped: what ended the search.
            gap: the gap, if not the exact one against `comparators`.
            scope: the scope of that gap.
        """
        table = isinstance(self.calls.oracle, TableOracle)
        kept = sorted(chosen)
        return Selection(
            method,
            tuple(int(self.rows[c]) for c in kept),
            self.points[kept],
            gap or worst_gap(self.points[kept], self.comparators, self.options.region),
            scope=scope or ("candidates" if table else "sampled"),
            oracle_calls=len(self.calls),
            seconds=time.perf_counter() - started,
            stopped=stopped,
            found=None if table else self.calls.points,
            weights=None if table else self.calls.weights,
        )
