"""Members for users whose utility isn't linear in the traits.

p-means and requirements are linear after a change of points: the exact best k of `minimum` hold for
them. For Chebyshev's utility the best k on a lattice of weights are taken: their loss there bounds
that of any k candidates from below.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from palm_engine._types import Floats
from palm_engine.geometry.envelope import best_somewhere
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import grid, lattice_steps
from palm_engine.geometry.utilities import (
    AtLeast,
    PMean,
    Utility,
    WorstLoss,
)
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.cover import smallest_cover
from palm_engine.selection.result import Target

MOST_ROWS = 3_000
MOST_CELLS = 4_000_000
CLOSE = 1e-4


@dataclass(frozen=True)
class ByUtility:
    """Members chosen for a utility.

    Attributes:
        members: rows of the candidates, ascending.
        worst: the largest loss of any user.
        lower_bound: no k candidates have a smaller worst loss (proved).
    """

    members: tuple[int, ...]
    worst: WorstLoss
    lower_bound: float


def best_for(utility: Utility, points: Floats, k: int, options: Options = DEFAULT) -> ByUtility:
    """The k candidates with the least worst loss, and what is proved of it.

    Args:
        utility: of the users.
        points: candidates, shape (n, d).
        k: number of members.
        options: guardrails and the time limit.

    Raises:
        InvalidInputError: rewards that the utility isn't defined for, or options that make no
            sense.
    """
    if isinstance(utility, PMean):
        target = Target(k=k, multiplicative=utility.p > 0)
        most = points.max() if points.max() > 0 else 1.0
        found = minimum(utility.changed(points / most), target, options)
        lower = utility.share(found.gap_lower_bound or 0.0)
    elif isinstance(utility, AtLeast):
        found = minimum(utility.changed(points), Target(k=k), options)
        lower = max(found.gap_lower_bound or 0.0, 0.0)
    else:
        return _on_lattice(utility, points, k, options)
    members = found.members
    worst = utility.worst(points[list(members)], points, options.region)
    return ByUtility(members, worst, min(lower, worst.loss))


def candidates_never_linear(
    utility: Utility, points: Floats, region: Region | None = None
) -> list[int]:
    """Candidates that are best for some users of a utility, and for no linear weights at all.

    Args:
        utility: of the users; on a lattice of weights (scope: sampled).
        points: candidates, (n, d).
        region: the users' weights; None: all.
    """
    weights = grid(points.shape[1], _steps(points))
    if region is not None and not region.is_whole:
        weights = np.vstack([weights[region.contains(weights)], region.corners()])
    best = np.unique(utility.values(points, weights).argmax(axis=1))
    linear = best_somewhere(points)
    return [int(i) for i in best if not linear[i]]


def _steps(points: Floats) -> int:
    return lattice_steps(points.shape[1], min(MOST_ROWS, MOST_CELLS // len(points)))


def _on_lattice(utility: Utility, points: Floats, k: int, options: Options) -> ByUtility:
    options.check(len(points), points.shape[1], Target(k=k))
    utility.worst(points[:1], points[:1], options.region)  # refuses what it can't look at
    started = time.perf_counter()
    weights = grid(points.shape[1], _steps(points))
    values = utility.values(points, weights)
    losses = values.max(axis=1)[:, None] - values
    rows = options.eligible(len(points))
    fixed = [int(np.flatnonzero(rows == i)[0]) for i in options.include]
    losses = losses[:, rows]
    members = list(fixed)
    while len(members) < min(k, len(rows)):  # the best at the worst weights, one after another
        now = losses[:, members].min(axis=1) if members else losses.max(axis=1)
        after = np.minimum(now[:, None], losses).max(axis=0)
        after[members] = np.inf
        members.append(int(np.argmin(after)))
    low, high = 0.0, float(losses[:, members].min(axis=1).max())
    while high - low > CLOSE and not options.late(started):
        level = (low + high) / 2
        open_rows = losses[~(losses[:, fixed] <= level).any(axis=1)] if fixed else losses
        left = options.left(started)
        cover = smallest_cover(open_rows <= level, at_most=k - len(fixed), time_limit=left)
        if cover.timed_out:
            break
        if cover.columns is None:
            low = level
            continue
        members = sorted({*fixed, *cover.columns})
        high = float(losses[:, members].min(axis=1).max())
    chosen = tuple(sorted(int(rows[m]) for m in members))
    worst = utility.worst(points[list(chosen)], points, options.region)
    return ByUtility(chosen, worst, min(low, worst.loss))
