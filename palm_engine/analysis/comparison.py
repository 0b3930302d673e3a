"""Selection methods side by side: worst gap by size of each, chosen and measured alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Progress, no_progress
from palm_engine.analysis.story import expected_gaps
from palm_engine.geometry.gap import require_positive, worst_gap
from palm_engine.geometry.policies import as_points
from palm_engine.geometry.region import Region
from palm_engine.selection.methods import METHODS
from palm_engine.selection.options import Options
from palm_engine.selection.palm import palm
from palm_engine.selection.parts.grids import grid_size
from palm_engine.selection.result import Selection, Target

RANDOM_DRAWS = 20
MOST_GRID = 20_000
GRIDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class MethodCurve:
    """Worst gap by size for one method.

    Attributes:
        method: its name.
        label: for people.
        sizes: numbers of members.
        members: rows of the candidates, by size.
        gaps: worst gap, by size; for random draws the mean.
        low: least over random draws, or None.
        high: largest over random draws, or None.
        averages: additive loss of uniform users, by size; of random draws the first's.
    """

    method: str
    label: str
    sizes: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]
    gaps: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    averages: tuple[float, ...] = ()


def coarse_grid(d: int) -> float:
    """The smallest eps = delta of GRIDS whose PALM grid has at most MOST_GRID weights."""
    return next(e for e in GRIDS if grid_size(d, e, e) <= MOST_GRID or e == GRIDS[-1])


def compare_methods(
    chosen_on: ArrayLike,
    points: ArrayLike,
    sizes: tuple[int, ...],
    multiplicative: bool = False,
    report: Progress = no_progress,
    without: tuple[str, ...] = (),
    region: Region | None = None,
) -> list[MethodCurve]:
    """Worst gap by size of every method, exact.

    Args:
        chosen_on: points that methods choose on, shape (n, d).
        points: points that all are measured on, shape (n, d).
        sizes: numbers of members.
        multiplicative: compare multiplicative gaps, else additive ones.
        report: gets the share done and what is being done.
        without: names of methods to leave out.
        region: the weights that count; None: all.

    Raises:
        UndefinedGapError: a multiplicative gap where the best value is not positive everywhere.
    """
    seen = as_points(chosen_on)
    true = as_points(points)
    if multiplicative:
        require_positive(seen, region)
        require_positive(true, region)
    side = coarse_grid(seen.shape[1])

    def choose(method: str, k: int, seed: int = 0) -> Selection:
        if method == "palm":
            return palm(seen, Target(k=k), Options(grid_eps=side, grid_delta=side, region=region))
        target = Target(k=k, multiplicative=multiplicative and method == "minimum")
        return METHODS[method].select(
            seen, target, Options(time_limit=10.0, seed=seed, region=region)
        )

    def measured(rows: tuple[int, ...]) -> float:
        gap = worst_gap(true[list(rows)], true, region)
        return (
            gap.additive if not multiplicative or gap.multiplicative is None else gap.multiplicative
        )

    labels = {
        "minimum": "exact best",
        "greedy": "greedy",
        "palm": f"PALM (reconstructed, grid eps = delta = {side:g})",
        "uniform": "uniform weights",
        "random": f"random weights, mean of {RANDOM_DRAWS}",
    }
    labels = {method: label for method, label in labels.items() if method not in without}
    curves = []
    for i, (method, label) in enumerate(labels.items()):
        picked = []
        gaps = []
        for j, k in enumerate(sizes):
            report((i + j / len(sizes)) / len(labels), f"{label}, {k} member{'s' if k > 1 else ''}")
            draws = range(RANDOM_DRAWS if method == "random" else 1)
            found = [choose(method, k, seed).members for seed in draws]
            picked.append(tuple(found[0]))
            gaps.append([measured(tuple(rows)) for rows in found])
        spread = method == "random"
        curves.append(
            MethodCurve(
                method,
                label,
                sizes,
                tuple(picked),
                tuple(float(np.mean(g)) for g in gaps),
                tuple(min(g) for g in gaps) if spread else None,
                tuple(max(g) for g in gaps) if spread else None,
                tuple(expected_gaps(true, picked, region)),
            )
        )
    return curves
