"""Stage 3: which weights to train at, decided in closed form from the scored pool, before any
training.

Scope `pool`: all policies over the sampled pool, whole simplex. The exact best k of a fine grid of
Gibbs policies is the plan; further adapters are added where the planned set is worst, so that the
candidates spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from palm_engine._types import Floats
from palm_engine.geometry.envelope import envelope_vertices, upper_envelope
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.simplex import grid, random_design, uniform_design
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.pipeline.config import BuildConfig
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.result import Target

PLAN_SECONDS = 120.0


@dataclass(frozen=True)
class PlannedPolicy:
    """One adapter to train: `role` says why (corner, uniform, plan, spread, random, outside)."""

    weights: Floats
    beta: float
    rewards: Floats
    kl_cost: float
    role: str


@dataclass(frozen=True)
class PoolPlan:
    """What the closed form says.

    The adapters to train and the planned best k with its exact worst gap.
    """

    adapters: tuple[PlannedPolicy, ...]
    planned_gap: float
    planned_lower_bound: float
    planned_weights: Floats
    proved: bool

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> PoolPlan:
        """From what the build's work folder keeps."""
        adapters = [
            PlannedPolicy(
                **{**a, "weights": np.array(a["weights"]), "rewards": np.array(a["rewards"])}
            )
            for a in raw["adapters"]
        ]
        return cls(
            **{
                **raw,
                "adapters": tuple(adapters),
                "planned_weights": np.array(raw["planned_weights"]),
            }
        )


def plan_pool(rewards: Floats, config: BuildConfig) -> PoolPlan:
    """Plan from pool `rewards`, shape (prompts, samples, d).

    Deterministic given the configuration's seed.
    """
    d, settings = rewards.shape[2], config.plan
    weights = grid(d, settings.resolution)
    solutions = {beta: GibbsOracle(rewards, beta).solve(weights) for beta in settings.betas}
    points = np.vstack([s.rewards for s in solutions.values()])
    origin = [(beta, i) for beta in settings.betas for i in range(len(weights))]
    best = minimum(points, Target(k=config.selection.k), Options(time_limit=PLAN_SECONDS))

    chosen: dict[tuple[int, ...], PlannedPolicy] = {}

    def add(index: int, role: str) -> None:
        beta, i = origin[index]
        solution = solutions[beta]
        key = tuple(np.round(weights[i] * settings.resolution).astype(int))
        chosen.setdefault(
            key,
            PlannedPolicy(weights[i], beta, solution.rewards[i], float(solution.kl_cost[i]), role),
        )

    def nearest(w: Floats) -> int:
        # Trained at the smallest beta: with reward-only value a smaller beta is never worse in the
        # pool.
        block = settings.betas.index(min(settings.betas)) * len(weights)
        return block + int(np.argmin(((weights - w) ** 2).sum(axis=1)))

    for corner in np.eye(d):
        add(nearest(corner), "corner")
    for member in best.members:
        add(member, "plan")
    for w in uniform_design(d, settings.baseline_size, settings.resolution):
        add(nearest(w), "uniform")
    while len(chosen) < settings.adapters:
        add(
            _worst_served(points, np.array([p.weights for p in chosen.values()]), origin, weights),
            "spread",
        )
    for w in random_design(d, settings.baseline_size, config.seed, settings.resolution):
        add(nearest(w), "random")
    extra = random_design(d, min(50, len(weights)), config.seed + 1, settings.resolution)
    for w in extra:
        if sum(p.role == "outside" for p in chosen.values()) == settings.outside:
            break
        add(nearest(w), "outside")
    return PoolPlan(
        tuple(chosen.values()),
        worst_gap(points[list(best.members)], points).additive,
        float(best.gap_lower_bound or 0.0),
        np.array([weights[origin[m][1]] for m in best.members]),
        best.stopped == "proved optimal",
    )


def _worst_served(
    points: Floats, chosen: Floats, origin: list[tuple[float, int]], weights: Floats
) -> int:
    """The virtual policy that is best where the chosen ones are worst, of those not chosen."""
    taken = {int(np.argmin(((weights - w) ** 2).sum(axis=1))) for w in chosen}
    ours = points[[i for i, (_, g) in enumerate(origin) if g in taken]]
    vertices = envelope_vertices(ours)
    gaps = upper_envelope(points, vertices) - upper_envelope(ours, vertices)
    for vertex in vertices[np.argsort(-gaps)]:
        best = int(np.argmax(points @ vertex))
        if origin[best][1] not in taken:
            return best
    # Everything is served: take the grid weight farthest from the chosen ones.
    distance = ((weights[:, None] - chosen[None]) ** 2).sum(2).min(1)
    return int(np.argmax(np.round(distance, 9)))
