"""Claim: on fronts that nobody here made, exact selection needs no more members than greedy or
PALM's grid.

Fronts of mo-gymnasium's deep-sea-treasure, resource-gathering, minecart and fruit-tree and of
pymoo's DTLZ2 (the extra `bench`), each objective scaled to [0, 1] over the front, larger is better.
DTLZ2 is minimised: turned round, only its d corners are ever best for a linear preference, so its
front is also used as rewards (a sphere).
"""

from __future__ import annotations

import os

import numpy as np

from benchmarks.chart import line_chart
from benchmarks.common import Row
from palm_engine.geometry.gap import worst_violation
from palm_engine.selection.greedy import greedy
from palm_engine.selection.minimum import minimum, size_curve
from palm_engine.selection.options import Options
from palm_engine.selection.palm import palm
from palm_engine.selection.result import Target

SECONDS = 10.0
PLOTTED = "DTLZ2 d=3, as rewards"
PALM_GRID = {2: 0.1, 3: 0.1, 4: 0.2, 5: 0.3, 6: 0.5}
GYM = {
    "deep-sea-treasure-v0": 0.99,
    "resource-gathering-v0": 0.99,
    "minecart-deterministic-v0": 0.98,
    "fruit-tree-v0": 0.99,
}


def scaled(front: np.ndarray) -> np.ndarray:
    """Each objective from 0 (its worst on the front) to 1.

    Objectives without any spread are left out.
    """
    low = front.min(axis=0)
    high = front.max(axis=0)
    return np.asarray((front - low)[:, high > low] / (high - low)[high > low])


def fronts() -> dict[str, np.ndarray]:
    """Name to points (n, d)."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    import mo_gymnasium
    from pymoo.problems import get_problem
    from pymoo.util.ref_dirs import get_reference_directions

    found = {}
    for name, discount in GYM.items():
        environment = mo_gymnasium.make(name)
        front = np.unique(
            np.array(environment.unwrapped.pareto_front(discount), dtype=float), axis=0
        )
        found[name.removesuffix("-v0")] = scaled(front)
        environment.close()
    for d, partitions in ((3, 30), (4, 10), (5, 6)):
        directions = get_reference_directions("das-dennis", d, n_partitions=partitions)
        front = get_problem("dtlz2", n_obj=d, n_var=d + 9).pareto_front(directions)
        found[f"DTLZ2 d={d}, minimised"] = scaled(1 - front)
        found[f"DTLZ2 d={d}, as rewards"] = scaled(front)
    return found


def row(name: str, points: np.ndarray) -> Row:
    """k-curve to 5, and sizes for (.05, .01), of the exact method beside greedy and PALM's grid."""
    d = points.shape[1]
    target = Target(eps=0.05, delta=0.01)
    limit = Options(time_limit=SECONDS)
    curve = size_curve(points, 5, limit)
    side = PALM_GRID[d]
    on_grid = Options(grid_eps=side, grid_delta=side)
    rival = [
        (
            greedy(points, Target(k=k)),
            palm(points, Target(k=k), Options(grid_eps=side, grid_delta=side)),
        )
        for k in range(1, 6)
    ]
    if name == PLOTTED:
        sizes = [float(len(s.members)) for s in curve]
        line_chart(
            "public-fronts",
            f"Worst gap by size on {name} ({len(points)} points, d={d})",
            "members",
            "worst gap",
            sizes,
            {
                "exact best": [s.gap.additive for s in curve],
                "greedy": [g.gap.additive for g, _ in rival[: len(sizes)]],
                "PALM's grid (reconstructed)": [p.gap.additive for _, p in rival[: len(sizes)]],
            },
        )
    best = minimum(points, target, limit)
    other = greedy(points, target)
    grid = palm(points, target, on_grid)
    broken = worst_violation(grid.points, points, target.eps, target.delta)[0]
    proved = "proved" if best.proved else f"at least {best.size_lower_bound}"
    miss = f" (misses it by {broken:.3f})" if broken > 1e-9 else ""
    return (
        (
            f"{name}: {len(points)} points, d={d}; worst gap at k = 1 to {len(curve)}; size for"
            " (.05, .01)"
        ),
        ", ".join(f"{s.gap.additive:.3f}" for s in curve) + f"; {len(best.members)} ({proved})",
        "greedy "
        + ", ".join(f"{g.gap.additive:.3f}" for g, _ in rival)
        + f"; {len(other.members)}. PALM's grid (reconstructed) "
        + ", ".join(f"{p.gap.additive:.3f}" for _, p in rival)
        + f"; {len(grid.members)}{miss}",
    )


def rows() -> list[Row]:
    """All claims: (what, result, reference)."""
    return [row(name, points) for name, points in fronts().items()]
