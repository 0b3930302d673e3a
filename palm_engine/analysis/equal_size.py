"""Rivals at equal size: every method's portfolio by worst gap, averages, volume and diversity."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from palm_engine._types import Floats, Progress, no_progress
from palm_engine.analysis.comparison import RANDOM_DRAWS, coarse_grid
from palm_engine.errors import DependencyError
from palm_engine.geometry.users import Users
from palm_engine.selection.choose import Aim, choose
from palm_engine.selection.methods import METHODS
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.population import average_of, users_where
from palm_engine.selection.result import Selection, Target
from palm_engine.selection.subsets import volume_of

# For each method.
SECONDS = 10.0


@dataclass(frozen=True)
class MethodResult:
    """One way to choose k members, and what came of it.

    Attributes:
        method: its name.
        label: for people.
        members: rows of the candidates; of random draws the first.
        worst: exact additive worst gap over the weights that count.
        expected: mean additive gap of the users.
        within: share of the users whose gap is at most the tolerance.
        volume: hypervolume of the members' points above the candidates' smallest values, as a share
            of all candidates'; None without the extra `compare`.
        perplexity: effective number of members in use, 1 to k.
        diversity: mean Euclidean distance between two members' points; 0 for one member.
        seconds: how long the choice took.
    """

    method: str
    label: str
    members: tuple[int, ...]
    worst: float
    expected: float
    within: float
    volume: float | None
    perplexity: float
    diversity: float
    seconds: float


def at_equal_size(
    points: Floats,
    k: int,
    users: Users | None = None,
    options: Options = DEFAULT,
    tolerance: float = 0.05,
    report: Progress = no_progress,
) -> list[MethodResult]:
    """Every method at the same size, measured alike (scope: candidates; averages: sampled).

    Args:
        points: candidates, shape (n, d).
        k: number of members.
        users: the population; None: uniform over the weights that count.
        options: guardrails, and the time limit of each method.
        tolerance: additive gap that counts as served.
        report: gets the share done and what is being done.
    """
    people = users or users_where(points.shape[1], options.region)
    side = coarse_grid(points.shape[1])
    volumes = _Volumes(points)
    target = Target(k=k)
    limited = replace(options, time_limit=min(options.time_limit or SECONDS, SECONDS))
    found: list[MethodResult] = []

    def add(method: str, label: str, chosen: list[Selection], seconds: float) -> None:
        averages = [average_of(points, s, people, tolerance) for s in chosen]
        shares = [v for s in chosen if (v := volumes.share(s.points)) is not None]
        found.append(
            MethodResult(
                method,
                label,
                chosen[0].members,
                float(np.mean([s.gap.additive for s in chosen])),
                float(np.mean([a.expected for a in averages])),
                float(np.mean([a.within for a in averages])),
                float(np.mean(shares)) if shares else None,
                float(np.mean([a.perplexity for a in averages])),
                float(np.mean([_diversity(s.points) for s in chosen])),
                seconds / len(chosen),
            )
        )

    aims = {
        # Nothing is given away for the average here: no method's worst gap is smaller.
        "exact best": Aim(users=users, tolerance=tolerance, slack=0.0),
        "least expected gap": Aim("expected", people, tolerance),
        "most users served": Aim("coverage", people, tolerance),
    }
    names = {
        "greedy": "greedy",
        "palm": f"PALM, reconstructed (grid eps = delta = {side:g})",
        "uniform": "uniform weights",
        "random": f"random weights, mean of {RANDOM_DRAWS}",
        "hypervolume": "hypervolume (after HaM)",
        "medoids": "k-medoids",
    }
    count = len(aims) + len(names)
    for label, aim in aims.items():
        report(len(found) / count, label)
        started = time.perf_counter()
        chosen = choose(points, target, limited, aim=aim)
        add(aim.objective, label, [chosen], time.perf_counter() - started)
    for name, label in names.items():
        report(len(found) / count, label)
        draws = RANDOM_DRAWS if name == "random" else 1
        started = time.perf_counter()
        try:
            several = [
                METHODS[name].select(
                    points, target, replace(limited, seed=s, grid_eps=side, grid_delta=side)
                )
                for s in range(draws)
            ]
        except DependencyError:
            continue
        add(name, label, several, time.perf_counter() - started)
    return found


class _Volumes:
    """Hypervolumes as a share of all candidates'."""

    def __init__(self, points: Floats) -> None:
        self.reference = points.min(axis=0) - 1e-9
        try:
            self.whole = volume_of(points, self.reference)
        except DependencyError:
            self.whole = 0.0

    def share(self, points: Floats) -> float | None:
        """Of some members; None where none can be measured."""
        return volume_of(points, self.reference) / self.whole if self.whole > 0 else None


def _diversity(points: Floats) -> float:
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    pairs = len(points) * (len(points) - 1)
    return float(distances.sum() / pairs) if pairs else 0.0
