"""Claim: exact worst gaps agree with the linear programs on random instances."""

from __future__ import annotations

import numpy as np

from benchmarks.common import Row, lp_gap
from palm_engine.geometry.gap import worst_additive_gap


def agreement(instances: int = 1000) -> Row:
    """Largest difference from the linear programs over random instances, d = 2 to 6."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for i in range(instances):
        d = 2 + i % 5
        portfolio = rng.random((4, d))
        candidates = rng.random((6, d))
        worst = max(
            worst, abs(lp_gap(portfolio, candidates) - worst_additive_gap(portfolio, candidates))
        )
    return (
        f"agreement on {instances:,} random instances, d=2 to 6",
        f"within {worst:.0e}",
        "the linear programs",
    )


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [agreement()]
