"""Claim: where cuts alone don't settle the smallest portfolio, weights all over the region give
fewer members and a higher proved bound in the same time.
"""

from __future__ import annotations

from math import inf
from unittest.mock import patch

import numpy as np

from benchmarks.common import Row, sphere
from palm_engine.geometry.simplex import grid
from palm_engine.selection import minimum as module
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.result import Selection, Target

LIMIT = 20.0
TOLERANCE = Target(eps=0.05, delta=0.01)


def dtlz2(d: int, steps: int) -> np.ndarray:
    """The front of DTLZ2 as rewards: directions of a lattice, at length 1."""
    points = grid(d, steps)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def noisy(count: int, d: int) -> np.ndarray:
    """Points around a sphere, most of them inside."""
    rng = np.random.default_rng(0)
    points = sphere(count, d) * rng.uniform(0.8, 1, (count, 1))
    return np.asarray(np.clip(points + rng.normal(0, 0.03, points.shape), 0, 1))


CASES = {
    "DTLZ2 d=4 as rewards, 286 points": (dtlz2(4, 10), TOLERANCE),
    "DTLZ2 d=5 as rewards, 210 points": (dtlz2(5, 6), TOLERANCE),
    "sphere d=4, 1,000 points": (sphere(1000, 4), TOLERANCE),
    "sphere d=5, 500 points": (sphere(500, 5), TOLERANCE),
    "sphere d=6, 300 points": (sphere(300, 6), TOLERANCE),
    "noisy d=6, 1,000 points": (noisy(1000, 6), TOLERANCE),
    "sphere d=4, 5,000 points": (sphere(5000, 4), TOLERANCE),
    "DTLZ2 d=4 as rewards, 286 points, best 20": (dtlz2(4, 10), Target(k=20)),
    "noisy d=6, 1,000 points, best 10": (noisy(1000, 6), Target(k=10)),
}


def told(found: Selection, target: Target) -> str:
    """Members or gap, with what is proved of them."""
    if target.k is not None:
        text = f"gap {found.gap.additive:.4f} (at least {found.gap_lower_bound:.4f})"
    else:
        text = f"{len(found.members)} members (at least {found.size_lower_bound})"
    proved = ", proved" if found.proved else ""
    return f"{text}{proved}, {found.seconds:.1f} s"


def compared(name: str, points: np.ndarray, target: Target) -> Row:
    """Both ways with the same limit."""
    ours = minimum(points, target, Options(time_limit=LIMIT))
    with patch.multiple(module, EASY_SECONDS=inf, EASY_LEVELS_SECONDS=inf):
        cuts = minimum(points, target, Options(time_limit=LIMIT))
    goal = "for (.05, .01)" if target.k is None else ""
    return (
        f"hard selection, {LIMIT:.0f} s: {name} {goal}".strip(),
        told(ours, target),
        f"cuts alone: {told(cuts, target)}",
    )


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [compared(name, points, target) for name, (points, target) in CASES.items()]
