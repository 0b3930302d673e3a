"""Planning in closed form, for exploring.

What the best portfolio of planned policies would be, before any training.

Every weight of a grid becomes a virtual policy (the pool's Gibbs optimum at one beta); the exact
best portfolio of those is the plan. Scope `pool`. `palm build` plans in the same way
(pipeline/plan.py), on a pool of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from palm_engine._types import Floats, Progress
from palm_engine.errors import ConfigError
from palm_engine.geometry.simplex import grid
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.result import Selection, Target

# Steps of the grid by number of traits: 100 to 500 virtual policies, which plan in seconds.
RESOLUTION = {2: 100, 3: 24, 4: 10, 5: 7, 6: 5, 7: 4, 8: 3}
REFERENCE = "reference"


@dataclass(frozen=True)
class VirtualPolicies:
    """Planned policies: names (m), the `weights` (m, d) each is for (NaN for the reference), its
    `points` (m, d) under the value in use, expected rewards `rewards` (m, d) and `kl_cost` (m,) =
    beta KL.
    """

    names: tuple[str, ...]
    weights: Floats
    points: Floats
    rewards: Floats
    kl_cost: Floats


@dataclass(frozen=True)
class PlanInfo:
    """The plan: exact best portfolios of every size in `curve`, and the one for the target."""

    policies: VirtualPolicies
    curve: tuple[Selection, ...]
    chosen: Selection


def virtual_policies(rewards: Floats, beta: float, with_kl_cost: bool = False) -> VirtualPolicies:
    """Solve the grid for pool `rewards` (prompts, samples, d).

    With a KL cost the reference (cost 0) is one of them.
    """
    d = rewards.shape[2]
    weights = grid(d, RESOLUTION[d])
    solved = GibbsOracle(rewards, beta).solve(weights)
    names = ["plan-" + "-".join(f"{round(100 * x):02d}" for x in w) for w in weights]
    expected, kl_cost = solved.rewards, solved.kl_cost
    if with_kl_cost:
        names.append(REFERENCE)
        weights = np.vstack([weights, np.full(d, np.nan)])
        expected, kl_cost = (
            np.vstack([expected, rewards.mean(axis=(0, 1))]),
            np.append(kl_cost, 0.0),
        )
    points = expected - kl_cost[:, None] if with_kl_cost else expected
    return VirtualPolicies(tuple(names), weights, points, expected, kl_cost)


def plan(
    rewards: Floats,
    beta: float,
    target: Target,
    with_kl_cost: bool = False,
    most: int = 8,
    seconds: float = 4.0,
    report: Progress = lambda share, note: None,
) -> PlanInfo:
    """Exact best portfolio of every size to `most`, and the smallest that meets `target`.

    `seconds` is for each.

    Raises InfeasibleError or UndefinedGapError where the target can't be met or makes no sense.
    """
    report(0.0, "solving the pool in closed form")
    policies = virtual_policies(rewards, beta, with_kl_cost)
    curve: list[Selection] = []
    steps = min(most, len(policies.points))
    for k in range(1, steps + 1):
        report(k / (steps + 2), f"best {k} of {len(policies.points)} planned policies")
        curve.append(minimum(policies.points, Target(k=k), Options(time_limit=seconds)))
        if curve[-1].gap.additive <= 1e-9:
            break
    if target.k is not None:
        chosen = curve[min(target.k, len(curve)) - 1]
    else:
        report((steps + 1) / (steps + 2), "fewest for the target")
        chosen = minimum(policies.points, target, Options(time_limit=seconds))
    return PlanInfo(policies, tuple(curve), chosen)


def plan_config(config: dict[str, Any], name: str, traits: list[str], beta: float, k: int) -> str:
    """TOML of a build configuration like `config`, for these traits, this beta and k members.

    Raises ConfigError where `config` is empty (the portfolio wasn't built by `palm build`).
    """
    import tomli_w

    if not config:
        raise ConfigError(
            "this portfolio wasn't built by `palm build`; start from configs/demo.toml and"
            " change it"
        )
    known = config.get("traits")
    if not isinstance(known, list | tuple) or not all(
        isinstance(t, dict) and "name" in t for t in known
    ):
        raise ConfigError(
            "built.config in this portfolio is no build configuration; start from configs/demo.toml"
        )
    kept = [t for t in known if t["name"] in traits]
    changed = {
        **config,
        "name": name,
        "title": f"{config.get('title') or name} (planned)",
        "traits": kept,
    }
    changed.pop("value", None)  # an option of older versions, with one value
    changed["plan"] = {**config.get("plan", {}), "betas": [beta]}
    changed["selection"] = {**config.get("selection", {}), "k": k}
    changed["plan"]["adapters"] = max(int(changed["plan"].get("adapters", 0)), k + len(kept))
    return tomli_w.dumps(_without_none(changed))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list | tuple) else value
