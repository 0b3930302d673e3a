"""Claim: users of a region with eight upper bounds are drawn hundreds of times faster than by
cutting the region into simplices, and are the same users.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.common import Row, median_seconds
from palm_engine.geometry.region import Region

COUNT = 10_000
TRAITS = 8


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    region = Region(np.zeros(TRAITS), np.full(TRAITS, 0.3))
    ours = median_seconds(lambda: region.sample(COUNT, np.random.default_rng(1)), 5)
    started = time.perf_counter()
    cut = region._sample_cells(COUNT, np.random.default_rng(2))
    slow = time.perf_counter() - started
    drawn = region.sample(COUNT, np.random.default_rng(1))
    apart = float(np.abs(np.quantile(drawn, 0.9, axis=0) - np.quantile(cut, 0.9, axis=0)).max())
    return [
        (
            f"{COUNT:,} users drawn, d={TRAITS}, every weight at most .3",
            f"{ours:.3f} s, {slow / ours:,.0f}x faster; nine tenths of each weight within"
            f" {apart:.3f}",
            f"simplices that fill the region ({slow:.1f} s)",
        )
    ]
