"""Set covers: exact, greedy, none."""

from __future__ import annotations

import numpy as np

from palm_engine.selection.parts.cover import greedy_cover, smallest_cover


def test_covers_exact_and_greedy() -> None:
    # Greedy takes the column that covers most, and then needs two more where two do.
    rows = [[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1]]
    covers = np.array(rows, dtype=bool)
    assert smallest_cover(covers).columns == (1, 2)
    assert greedy_cover(covers) == (0, 1, 2)
    assert smallest_cover(np.array([[False, False]])).columns is None
    assert smallest_cover(np.eye(3, dtype=bool), at_most=2).columns is None
