"""Claim: at equal size nothing has a smaller worst gap than the exact best; averages stand beside.

Every method of `palm compare` at 4 members, or fewer where those leave no gap, on the shipped demo
and public fronts (the extra `bench`): worst and expected gap of uniform users, volume (share of the
candidates' hypervolume), members in use (usage perplexity), diversity.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.chart import scatter_panels
from benchmarks.common import Row
from benchmarks.public_fronts import fronts
from palm_engine._types import Floats
from palm_engine.analysis.equal_size import MethodResult, at_equal_size
from palm_engine.bundle.folder import read_bundle
from palm_engine.selection.minimum import minimum
from palm_engine.selection.result import Target

ROOT = Path(__file__).resolve().parents[1]
SIZES = (4, 3, 2)
CLOSED = 0.005  # a worst gap that leaves nothing to compare
FRONTS = ("minecart-deterministic", "fruit-tree", "DTLZ2 d=3, as rewards", "DTLZ2 d=4, as rewards")


def tables() -> dict[str, Floats]:
    """Name to points (n, d)."""
    found: dict[str, Floats] = {
        "shipped demo": read_bundle(ROOT / "portfolios" / "demo").points,
    }
    public = fronts()
    return found | {name: public[name] for name in FRONTS}


def size_for(points: Floats) -> int:
    """The first of SIZES at which even the best portfolio has a gap."""
    left = (k for k in SIZES if minimum(points, Target(k=k)).gap.additive > CLOSED)
    return next(left, SIZES[-1])


def short(label: str) -> str:
    """A method's name without its settings."""
    return label.partition(" (")[0].partition(",")[0]


def row(name: str, points: Floats, k: int, found: list[MethodResult]) -> Row:
    """The exact best beside each of the others."""

    def figures(r: MethodResult) -> str:
        volume = "" if r.volume is None else f", volume {r.volume:.0%}"
        return (
            f"{short(r.label)} {r.worst:.3f} / {r.expected:.4f}{volume}, in use"
            f" {r.perplexity:.1f}, diversity {r.diversity:.2f}"
        )

    best, *others = found
    return (
        f"{name}: {len(points)} candidates, d={points.shape[1]}, {k} members: worst / expected gap",
        figures(best),
        "; ".join(map(figures, others)),
    )


def rows() -> list[Row]:
    """One per table; all of them are drawn."""
    made: list[Row] = []
    drawn: dict[str, Mapping[str, tuple[float, float]]] = {}
    for name, points in tables().items():
        k = size_for(points)
        found = at_equal_size(np.asarray(points), k)
        made.append(row(name, points, k, found))
        drawn[f"{name}, {k} members"] = {short(r.label): (r.worst, r.expected) for r in found}
    scatter_panels(
        "rivals",
        "The same number of members by every method",
        "worst gap (exact)",
        "expected gap of uniform users",
        drawn,
    )
    return made
