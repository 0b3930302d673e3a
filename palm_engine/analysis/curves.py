"""What the dashboard shows at given weights, and of a portfolio's size, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats, Progress, no_progress
from palm_engine.geometry.gap import require_positive, worst_gap
from palm_engine.geometry.policies import as_points
from palm_engine.selection.methods import METHODS
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.palm import grid_size, palm
from palm_engine.selection.result import Selection, Target

RANDOM_DRAWS = 20
MOST_GRID = 20_000
GRIDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class PickInfo:
    """At weights `w`: the picked member, the runner-up (None for a portfolio of one) and the best
    candidate, as candidate rows, with their values; `gap` additive, `multiplicative_gap` a share of
    the best value (None where it is <= 0).
    """

    weights: Floats
    member: int
    member_value: float
    runner_up: int | None
    best: int
    best_value: float
    gap: float
    multiplicative_gap: float | None


@dataclass(frozen=True)
class CurveInfo:
    """Size against worst gap: `choose` where sizes were chosen.

    `certify` and its `upper` bound, or None.
    """

    sizes: tuple[int, ...]
    members: tuple[tuple[str, ...], ...]
    choose: tuple[float, ...]
    certify: tuple[float, ...] | None
    upper: tuple[float, ...] | None
    confidence: float | None
    proved: bool


def pick_info(points: ArrayLike, portfolio: list[int], w: ArrayLike) -> PickInfo:
    """What a user with weights `w` (d,) gets from `portfolio`, rows of `points` (n, d)."""
    u, weights = as_points(points), np.asarray(w, dtype=float)
    values = u @ weights
    order = sorted(portfolio, key=lambda i: (-round(float(values[i]), 12), portfolio.index(i)))
    best = int(np.argmax(np.round(values, 12)))
    if values[best] <= values[order[0]] + 1e-12:
        best = order[0]
    gap = float(max(values[best] - values[order[0]], 0.0))
    return PickInfo(
        weights,
        order[0],
        float(values[order[0]]),
        order[1] if len(order) > 1 else None,
        best,
        float(values[best]),
        gap,
        gap / float(values[best]) if values[best] > 0 else None,
    )


def best_of_every_size(
    points: ArrayLike,
    names: tuple[str, ...],
    most: int = 8,
    seconds: float = 10.0,
    report: Progress = no_progress,
) -> CurveInfo:
    """The exact best portfolio of every size up to `most` of `points` (n, d).

    At most `seconds` for each size.

    Stops at a size whose worst gap is 0; `proved` is whether every one was proved the best.
    """
    u = as_points(points)
    found: list[Selection] = []
    for k in range(1, min(most, len(u)) + 1):
        report((k - 1) / most, f"best {k} of {len(u)} candidates")
        found.append(minimum(u, Target(k=k), Options(time_limit=seconds)))
        if found[-1].gap.additive <= 1e-9:
            break
    return CurveInfo(
        tuple(len(s.members) for s in found),
        tuple(tuple(names[m] for m in s.members) for s in found),
        tuple(s.gap.additive for s in found),
        None,
        None,
        None,
        all(s.stopped == "proved optimal" for s in found),
    )


@dataclass(frozen=True)
class MethodCurve:
    """Worst gap by size for one method.

    `low` and `high` are its range over draws (random only), else None.
    """

    method: str
    label: str
    sizes: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]
    gaps: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None


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
) -> list[MethodCurve]:
    """Worst gap by size of every method but those `without`, exact.

    Each chooses on `chosen_on` (n, d) and is measured on `points` (n, d). `multiplicative` compares
    multiplicative gaps; raises UndefinedGapError where the best value isn't positive everywhere.
    """
    seen, true = as_points(chosen_on), as_points(points)
    if multiplicative:
        require_positive(seen)
        require_positive(true)
    side = coarse_grid(seen.shape[1])

    def choose(method: str, k: int, seed: int = 0) -> Selection:
        if method == "palm":
            return palm(seen, Target(k=k), grid_eps=side, grid_delta=side)
        target = Target(k=k, multiplicative=multiplicative and method == "minimum")
        return METHODS[method].select(seen, target, Options(time_limit=10.0, seed=seed))

    def measured(rows: tuple[int, ...]) -> float:
        gap = worst_gap(true[list(rows)], true)
        return (
            gap.additive if not multiplicative or gap.multiplicative is None else gap.multiplicative
        )

    labels = {
        "minimum": "exact best",
        "greedy": "greedy",
        "palm": f"PALM (grid eps = delta = {side:g})",
        "uniform": "uniform weights",
        "random": f"random weights, mean of {RANDOM_DRAWS}",
    }
    labels = {method: label for method, label in labels.items() if method not in without}
    curves = []
    for i, (method, label) in enumerate(labels.items()):
        picked, gaps = [], []
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
            )
        )
    return curves
