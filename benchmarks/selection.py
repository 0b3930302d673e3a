"""Claims about exact selection: the smallest portfolio, the k-curve, 100,000 candidates, gap fields."""

from __future__ import annotations

import resource
import time
from unittest.mock import patch

import numpy as np

from benchmarks.mathematics import Row, median_seconds, sphere
from palm_engine.geometry.fields import gap_field
from palm_engine.geometry.simplex import sample_uniform
from palm_engine.selection import minimum as module
from palm_engine.selection.minimum import minimum, size_curve
from palm_engine.selection.options import Options
from palm_engine.selection.result import Target


def smallest() -> Row:
    """The smallest (.05, .01)-portfolio of 1,000 sphere points, beside the same without the tighter first tries."""
    target = Target(eps=0.05, delta=0.01)
    ours, plain, proved = [], [], 0
    for seed in range(4):
        points = sphere(1000, 3, seed)
        started = time.perf_counter()
        proved += minimum(points, target).stopped == "proved optimal"
        ours.append(time.perf_counter() - started)
        with patch.object(module, "TIGHTER", ()):
            started = time.perf_counter()
            minimum(points, target, Options(time_limit=30))
            plain.append(time.perf_counter() - started)
    return (
        "smallest portfolio for (.05, .01), 1,000 sphere points, d=3, four seeds",
        f"{', '.join(f'{s:.1f}' for s in ours)} s, {proved} of 4 proved optimal",
        f"the same without first trying tighter tolerances: {', '.join(f'{s:.1f}' for s in plain)} s (limit 30 s)",
    )


def curve() -> Row:
    """The exact best portfolio of every size to 12."""
    started = time.perf_counter()
    found = size_curve(sphere(200, 3), 12)
    proved = sum(s.stopped == "proved optimal" for s in found)
    return (
        f"k-curve to {len(found)}, 200 candidates, d=3",
        f"{time.perf_counter() - started:.1f} s, {proved} of {len(found)} proved optimal",
        "none",
    )


def many() -> Row:
    """Best 5 of 100,000 sphere points within 55 seconds."""
    started = time.perf_counter()
    found = minimum(sphere(100_000, 3), Target(k=5), Options(time_limit=55))
    seconds = time.perf_counter() - started
    bound = found.gap_lower_bound or 0.0
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (
        "best 5 of 100,000 sphere points, d=3",
        f"{seconds:.0f} s ({found.stopped}), gap {found.gap.additive:.4f}, proved bound {bound:.4f} "
        f"({1 - bound / found.gap.additive:.1%} below), {memory:.1f} GB",
        "none",
    )


def field() -> Row:
    """A gap field on 20,000 weights."""
    points, weights = sphere(200, 3), sample_uniform(3, 20_000, np.random.default_rng(0))
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
    """All claims: (what, result, reference)."""
    return [smallest(), curve(), field(), many()]
