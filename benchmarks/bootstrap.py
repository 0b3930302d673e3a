"""Claim: 1,000 bootstrap resamples of the exact worst gap take at most half a second."""

from __future__ import annotations

import numpy as np

from benchmarks.common import Row, median_seconds
from palm_engine.geometry.confidence import worst_gap_bound


def bootstrap() -> Row:
    """1,000 resamples of 200 prompts x 40 policies x 3 traits."""
    scores = np.random.default_rng(0).random((200, 40, 3))
    seconds = median_seconds(lambda: worst_gap_bound(scores, [0, 1, 2, 3, 4]), 3)
    return (
        "1,000 bootstrap resamples, 40 policies, 200 prompts, d=3",
        f"{seconds:.2f} s",
        "no reference",
    )


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [bootstrap()]
