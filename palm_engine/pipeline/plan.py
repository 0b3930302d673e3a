"""Stage 3: which weights to train at, decided in closed form from the scored pool.

Scope `pool`: all policies over the sampled pool, whole simplex. The planner's exact best k is
trained; further adapters are added where the planned set is worst, so that the candidates spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from palm_engine._types import Floats
from palm_engine.analysis.plan import RESOLUTION, VirtualPolicies, moved, plan
from palm_engine.geometry.envelope import envelope_vertices, upper_envelope
from palm_engine.geometry.simplex import random_design, uniform_design, weights_of
from palm_engine.pipeline.config import BuildConfig
from palm_engine.selection.result import Target


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
    """What to train: the plan's members, corners, baselines, and adapters that fill the gaps.

    Args:
        rewards: scores of the pool, shape (prompts, samples, d).
        config: the build's configuration; deterministic given its seed, unless the best k isn't
            proved in time (`proved` says so).
    """
    settings = config.plan
    d = rewards.shape[2]
    info = plan(
        rewards,
        settings.betas,
        Target(k=config.selection.k),
        resolution=settings.resolution,
    )
    chosen = _Chosen(info.policies, settings.betas)
    traits = [t.name for t in config.traits]
    planned = info.chosen
    if settings.members:
        rows = [chosen.nearest(weights_of(w, traits)) for w in settings.members]
        planned = moved(info, rows)
    steps = settings.resolution or RESOLUTION[d]
    for corner in np.eye(d):
        chosen.add(chosen.nearest(corner), "corner")
    for member in planned.members:
        chosen.add(member, "plan")
    for w in uniform_design(d, settings.baseline_size, steps):
        chosen.add(chosen.nearest(w), "uniform")
    while len(chosen.planned) < settings.adapters:
        chosen.add(_worst_served(info.policies, chosen.weights), "spread")
    for w in random_design(d, settings.baseline_size, config.seed, steps):
        chosen.add(chosen.nearest(w), "random")
    for w in random_design(d, min(50, len(chosen.grid)), config.seed + 1, steps):
        if chosen.count("outside") == settings.outside:
            break
        chosen.add(chosen.nearest(w), "outside")
    return PoolPlan(
        adapters=tuple(chosen.planned.values()),
        planned_gap=planned.gap.additive,
        planned_lower_bound=float(planned.gap_lower_bound or 0.0),
        planned_weights=info.policies.weights[list(planned.members)],
        proved=planned.proved,
    )


class _Chosen:
    """Planned policies by their weights; the first role that asks for some weights is kept."""

    def __init__(self, policies: VirtualPolicies, betas: Sequence[float]) -> None:
        self.policies = policies
        self.planned: dict[tuple[float, ...], PlannedPolicy] = {}
        # With reward-only value a smaller beta is never worse in the pool.
        self.smallest = np.flatnonzero(policies.betas == min(betas))
        self.grid = policies.weights[self.smallest]

    @property
    def weights(self) -> Floats:
        """Weights that are taken, (m, d)."""
        return np.array([p.weights for p in self.planned.values()])

    def add(self, row: int, role: str) -> None:
        """Plan the virtual policy `row`, unless its weights are taken."""
        virtual = self.policies
        w = virtual.weights[row]
        policy = PlannedPolicy(
            w, float(virtual.betas[row]), virtual.rewards[row], float(virtual.kl_cost[row]), role
        )
        self.planned.setdefault(tuple(np.round(w, 9).tolist()), policy)

    def nearest(self, w: Floats) -> int:
        """The row of the virtual policy nearest to weights (d,), at the smallest beta."""
        return int(self.smallest[np.argmin(((self.grid - w) ** 2).sum(axis=1))])

    def count(self, role: str) -> int:
        """How many have this role."""
        return sum(p.role == role for p in self.planned.values())


def _worst_served(policies: VirtualPolicies, chosen: Floats) -> int:
    """The virtual policy that is best where the chosen ones are worst, of those not chosen."""
    points = policies.points
    distance = ((policies.weights[:, None] - chosen[None]) ** 2).sum(axis=2).min(axis=1)
    taken = distance < 1e-9
    ours = points[taken]
    vertices = envelope_vertices(ours)
    gaps = upper_envelope(points, vertices) - upper_envelope(ours, vertices)
    for vertex in vertices[np.argsort(-gaps)]:
        best = int(np.argmax(points @ vertex))
        if not taken[best]:
            return best
    # Everything is served: take the grid weights farthest from the chosen ones.
    return int(np.argmax(np.round(distance, 9)))
