"""Claim: the exact worst gap is hundreds of times faster than one linear program a candidate, and
equal.
"""

from __future__ import annotations

import time

from benchmarks.common import Row, lp_gap, median_seconds, sphere
from palm_engine.geometry.gap import worst_additive_gap


def exact_gap(d: int) -> Row:
    """Exact worst gap of 5 members against 1,000 candidates, beside the linear programs."""
    points = sphere(1000, d)
    ours = median_seconds(lambda: worst_additive_gap(points[:5], points), 50)
    started = time.perf_counter()
    reference = lp_gap(points[:5], points)
    slow = time.perf_counter() - started
    agree = abs(reference - worst_additive_gap(points[:5], points))
    return (
        f"exact worst gap, 5 members, 1,000 candidates, d={d}",
        f"{slow / ours:,.0f}x faster ({1000 * ours:.2f} ms), differs by {agree:.0e}",
        f"one scipy.optimize.linprog a candidate ({slow:.2f} s)",
    )


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [exact_gap(3), exact_gap(5)]
