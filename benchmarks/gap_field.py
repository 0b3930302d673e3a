"""Claim: a gap field on 20,000 weights takes at most 10 milliseconds."""

from __future__ import annotations

import numpy as np

from benchmarks.common import Row, median_seconds, sphere
from palm_engine.geometry.fields import gap_field
from palm_engine.geometry.simplex import sample_uniform


def field() -> Row:
    """A gap field on 20,000 weights."""
    points = sphere(200, 3)
    weights = sample_uniform(3, 20_000, np.random.default_rng(0))
    ours = median_seconds(lambda: gap_field(points[:5], points, weights), 20)

    def plainly() -> np.ndarray:
        return np.asarray((weights @ points.T).max(axis=1) - (weights @ points[:5].T).max(axis=1))

    plain = median_seconds(plainly, 20)
    return (
        "gap field on 20,000 weights, 200 candidates, 5 members",
        f"{1000 * ours:.1f} ms, {plain / ours:.1f}x",
        f"one matrix product, no members found ({1000 * plain:.1f} ms)",
    )


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [field()]
