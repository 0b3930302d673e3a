"""Few columns that cover all rows, by local search with row weights.

One column goes out, one comes in for a row that nobody covers; rows that stay uncovered gain
weight, so that the search leaves what it is stuck in. After Gao, Yao, Weise and Li (2015,
doi:10.1016/j.ejor.2015.05.038), for sets that all cost the same. It proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from palm_engine._types import Booleans

_NEAR = 1e-6


class CoverSearch:
    """A search for small covers that goes on where it was, also after rows came.

    Attributes:
        chosen: columns now.
        steps: exchanges so far.
    """

    def __init__(
        self,
        covers: Booleans,
        fixed: Sequence[int] = (),
        start: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        """Begin with some columns, or with the fixed ones completed greedily.

        Args:
            covers: which column covers which row, (rows, columns); each row has one.
            fixed: columns that stay.
            start: columns to begin with, the fixed ones among them.
            seed: of the draws among uncovered rows.
        """
        self._covers = covers.astype(np.float32)
        self._by_column = np.ascontiguousarray(self._covers.T)
        self._weights = np.ones(len(covers), dtype=np.float32)
        self._random = np.random.default_rng(seed)
        self._since = np.zeros(covers.shape[1], dtype=np.int64)
        self._fixed = frozenset(fixed)
        self.chosen: list[int] = []
        self.steps = 0
        self._begin(list(fixed if start is None else start))
        if start is None:
            self.complete()

    @property
    def rows(self) -> int:
        """Number of rows that are to be covered."""
        return len(self._covers)

    @property
    def covered(self) -> bool:
        """Whether every row is."""
        return not (self._count < 0.5).any()

    def add(self, covers: Booleans) -> None:
        """Add rows, (rows, columns)."""
        self._covers = np.vstack([self._covers, covers.astype(np.float32)])
        self._by_column = np.ascontiguousarray(self._covers.T)
        self._weights = np.concatenate([self._weights, np.ones(len(covers), dtype=np.float32)])
        self._begin(self.chosen)

    def complete(self) -> None:
        """Add columns, those that cover most first, until every row is covered."""
        while not self.covered:
            uncovered = np.flatnonzero(self._count < 0.5)
            gains = self._covers[uncovered].sum(axis=0)
            self._insert(int(np.argmax(gains)))

    def drop(self) -> None:
        """Drop the column that is missed least."""
        self._remove(None)

    def run(self, steps: int, late: Callable[[], bool]) -> bool:
        """Exchange columns until all rows are covered; says whether they are.

        Args:
            steps: at most so many exchanges.
            late: asked before each; True ends the search.
        """
        entered: int | None = None
        for _ in range(steps):
            if self.covered:
                return True
            if late() or len(self.chosen) <= len(self._fixed):
                return False
            self.steps += 1
            left = self._remove(entered)
            uncovered = np.flatnonzero(self._count < 0.5)
            row = uncovered[int(self._random.integers(len(uncovered)))]
            able = np.flatnonzero(self._covers[row] > 0.5)
            if len(able) > 1:  # what just went out doesn't come back at once
                able = able[able != left]
            gains = self._by_column[np.ix_(able, uncovered)] @ self._weights[uncovered]
            ties = able[gains >= gains.max() - _NEAR]
            entered = int(ties[np.argmin(self._since[ties])])
            self._insert(entered)
            self._weights[self._count < 0.5] += 1
        return self.covered

    def _begin(self, chosen: list[int]) -> None:
        self.chosen = list(chosen)
        self._taken = self._by_column[self.chosen]
        self._count: NDArray[np.float32] = self._taken.sum(axis=0)

    def _insert(self, column: int) -> None:
        self.chosen.append(column)
        self._taken = np.vstack([self._taken, self._by_column[column][None]])
        self._count = self._count + self._by_column[column]
        self._since[column] = self.steps

    def _remove(self, keep: int | None) -> int:
        """Take the column out whose going uncovers least; not the fixed ones, nor `keep`."""
        missed = self._taken @ (self._weights * (self._count < 1.5))
        stays = [c in self._fixed or c == keep for c in self.chosen]
        if all(c in self._fixed for i, c in enumerate(self.chosen) if not stays[i]):
            stays = [c in self._fixed for c in self.chosen]
        missed[stays] = np.inf
        ties = np.flatnonzero(missed <= missed.min() + _NEAR)
        place = int(ties[np.argmin(self._since[np.array(self.chosen)[ties]])])
        column = self.chosen.pop(place)
        self._taken = np.delete(self._taken, place, axis=0)
        self._count = self._count - self._by_column[column]
        self._since[column] = self.steps
        return column
