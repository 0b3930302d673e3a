"""The planner: what the best portfolio of planned policies would be, before any training.

Every weight of a grid becomes a virtual policy (the pool's Gibbs optimum at one beta); the exact
best portfolio of those is the plan. Scope `pool`. The Plan page and `palm build` both plan here, on
the same grid and with the same limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from palm_engine._types import Floats, Progress, no_progress
from palm_engine.errors import ConfigError
from palm_engine.geometry.envelope import upper_envelope
from palm_engine.geometry.fields import population
from palm_engine.geometry.gap import worst_gap, worst_violation
from palm_engine.geometry.simplex import grid
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.selection.minimum import minimum, size_curve
from palm_engine.selection.options import Options
from palm_engine.selection.parts.cuts import TOLERANCE
from palm_engine.selection.result import PROVED, Selection, Target

# Steps along an edge of the weight grid by number of traits: 100 to 700 virtual policies.
RESOLUTION = {2: 100, 3: 36, 4: 12, 5: 8, 6: 6, 7: 5, 8: 4}
# What is trained for hours deserves a proof, and may not depend on how busy the machine was; the
# other sizes are only looked at.
CHOICE_SECONDS = 60.0
CURVE_SECONDS = 5.0
REFERENCE = "reference"
MOVED = "moved by hand"


@dataclass(frozen=True)
class VirtualPolicies:
    """Planned policies, m of them.

    Attributes:
        names: names of the policies, (m,).
        weights: the weights that each is for, (m, d); NaN for the reference.
        betas: the temperature of each, (m,); NaN for the reference.
        points: points under the value in use, (m, d).
        rewards: expected rewards over the pool, (m, d), in [0, 1].
        kl_cost: beta times KL to the reference, (m,).
    """

    names: tuple[str, ...]
    weights: Floats
    betas: Floats
    points: Floats
    rewards: Floats
    kl_cost: Floats


@dataclass(frozen=True)
class PlanInfo:
    """A plan.

    Attributes:
        policies: the virtual policies that were chosen from.
        curve: the exact best portfolio of each size that was asked for; rows of `policies`.
        chosen: the one for the target.
    """

    policies: VirtualPolicies
    curve: tuple[Selection, ...]
    chosen: Selection


def virtual_policies(
    rewards: Floats,
    betas: Sequence[float],
    with_kl_cost: bool = False,
    resolution: int | None = None,
) -> VirtualPolicies:
    """Solve a grid of weights in closed form.

    Args:
        rewards: scores of the pool, shape (prompts, samples, d), in [0, 1].
        betas: temperatures; one virtual policy per weight and temperature.
        with_kl_cost: count the KL cost; the reference (cost 0) is then one of the policies.
        resolution: steps along an edge of the grid; None takes RESOLUTION for d traits.
    """
    d = rewards.shape[2]
    weights = grid(d, resolution or RESOLUTION[d])
    solved = [GibbsOracle(rewards, beta).solve(weights) for beta in betas]
    names = [
        _name(w) if len(betas) == 1 else f"{_name(w)}-beta{beta:g}"
        for beta in betas
        for w in weights
    ]
    every_weight = np.tile(weights, (len(betas), 1))
    every_beta = np.repeat(np.asarray(betas, dtype=float), len(weights))
    expected = np.vstack([s.rewards for s in solved])
    kl_cost = np.concatenate([s.kl_cost for s in solved])
    if with_kl_cost:
        names.append(REFERENCE)
        every_weight = np.vstack([every_weight, np.full(d, np.nan)])
        every_beta = np.append(every_beta, np.nan)
        expected = np.vstack([expected, rewards.mean(axis=(0, 1))])
        kl_cost = np.append(kl_cost, 0.0)
    points = expected - kl_cost[:, None] if with_kl_cost else expected
    return VirtualPolicies(tuple(names), every_weight, every_beta, points, expected, kl_cost)


def plan(
    rewards: Floats,
    betas: Sequence[float],
    target: Target,
    with_kl_cost: bool = False,
    resolution: int | None = None,
    most: int = 0,
    report: Progress = no_progress,
) -> PlanInfo:
    """The exact best portfolio of virtual policies for a target, and of every size up to `most`.

    Args:
        rewards: scores of the pool, shape (prompts, samples, d), in [0, 1].
        betas: temperatures to plan with.
        target: a number of members, or a tolerance.
        with_kl_cost: count the KL cost.
        resolution: steps along an edge of the weight grid; None takes RESOLUTION for d traits.
        most: the largest size of the curve; 0 for none.
        report: gets the share done and what is being done.

    Returns:
        The plan. A size of the curve is given CURVE_SECONDS and the choice CHOICE_SECONDS, after
        which the best found is taken; a tolerance never gets more members than a size of the curve
        that meets it.

    Raises:
        InfeasibleError: no portfolio meets the target.
        UndefinedGapError: a multiplicative target where the best value is not positive everywhere.
    """
    report(0.0, "solving the pool in closed form")
    policies = virtual_policies(rewards, betas, with_kl_cost, resolution)
    steps = most + 2

    def of_curve(share: float, note: str) -> None:
        report((1 + share * most) / steps, f"{note} planned policies")

    curve = []
    if most:
        limit = Options(time_limit=CURVE_SECONDS)
        curve = list(size_curve(policies.points, most, limit, report=of_curve))
    by_size = {len(s.members): s for s in curve}
    of_size = target.k is not None and not target.multiplicative
    chosen = by_size.get(target.k or 0) if of_size else None
    if of_size and chosen is None and curve and curve[-1].gap.additive <= TOLERANCE:
        chosen = curve[-1]  # more members can't be better
    if chosen is None or not chosen.proved:
        report((steps - 1) / steps, "choosing for the target")
        found = minimum(policies.points, target, Options(time_limit=CHOICE_SECONDS))
        chosen = _smallest(found, curve, target, policies)
    if of_size:
        curve = [chosen if len(s.members) == target.k else s for s in curve]
    return PlanInfo(policies, tuple(curve), chosen)


def _smallest(
    found: Selection, curve: Sequence[Selection], target: Target, policies: VirtualPolicies
) -> Selection:
    """The smallest portfolio of the curve that meets the tolerance, else `found`.

    Of the portfolios of one size the curve's has the smallest gap: headline and curve say the same.
    Either search may have been stopped by its time limit.
    """
    if target.k is not None:
        return found
    for best in sorted(curve, key=lambda s: len(s.members)):
        if len(best.members) > len(found.members):
            break
        if worst_violation(best.points, policies.points, target.eps, target.delta)[0] <= TOLERANCE:
            least = found.size_lower_bound
            proved = least is not None and least >= len(best.members)
            return replace(
                best,
                size_lower_bound=least,
                gap_lower_bound=None,
                stopped=PROVED if proved else found.stopped,
            )
    return found


def moved(info: PlanInfo, rows: Sequence[int]) -> Selection:
    """The plan with its members moved by hand to other planned policies.

    Args:
        info: the plan.
        rows: of `info.policies`, one for each member.
    """
    points = info.policies.points[list(rows)]
    return replace(
        info.chosen,
        members=tuple(rows),
        points=points,
        gap=worst_gap(points, info.policies.points),
        size_lower_bound=None,
        gap_lower_bound=None,
        stopped=MOVED,
    )


def _name(w: Floats) -> str:
    return "plan-" + "-".join(f"{round(100 * x):02d}" for x in w)


def built_resolution(config: dict[str, Any]) -> int | None:
    """The grid that a bundle's build configuration planned on, None where it doesn't say."""
    section = config.get("plan")
    steps = section.get("resolution") if isinstance(section, dict) else None
    return steps if isinstance(steps, int) and 1 <= steps <= 100 else None


def average_value(policies: VirtualPolicies, rows: Sequence[int]) -> float:
    """What the average of uniform users would get from some planned policies (scope: sampled).

    Args:
        policies: the planned policies.
        rows: of those that are served.
    """
    users = population(policies.points.shape[1])
    return float(upper_envelope(policies.points[list(rows)], users).mean())


def trainings_planned(config: dict[str, Any], k: int, d: int) -> tuple[int, int] | None:
    """How many adapters the configuration of a plan trains at most: in its last round, and before.

    None where `config` is no build configuration.

    Args:
        config: what a bundle was built from.
        k: planned members.
        d: traits.
    """
    section = config.get("plan")
    if not isinstance(section, dict):
        return None
    parts = (section.get(name, 0) for name in ("baseline_size", "outside"))
    last = max(int(section.get("adapters", 0)), k + d) + sum(int(p or 0) for p in parts)
    return last, trained_before(config, last)


def trained_before(config: dict[str, Any], last: int) -> int:
    """How many adapters a build trained in the rounds before its last one.

    Args:
        config: what the bundle was built from; 0 where it tells no rounds.
        last: how many it trained in the last round.
    """
    rounds = config.get("rounds")
    if not isinstance(rounds, dict):
        return 0
    each = int(rounds.get("adapters") or last)
    return (int(rounds.get("count") or 1) - 1) * min(each, last)


def plan_config(
    config: dict[str, Any],
    name: str,
    traits: list[str],
    beta: float,
    k: int,
    members: Sequence[dict[str, float]] = (),
) -> str:
    """A build configuration like a given one, for some traits, one beta and k members.

    Args:
        config: what a bundle was built from.
        name: of the new bundle.
        traits: to keep.
        beta: temperature.
        k: number of members.
        members: weights to train at, whatever the build's own plan finds; none where it may choose.

    Returns:
        TOML.

    Raises:
        ConfigError: `config` is no build configuration.
    """
    import tomli_w

    if not config:
        raise ConfigError(
            "this bundle wasn't built by `palm build`; start from configs/demo.toml and change it"
        )
    known = config.get("traits")
    if not isinstance(known, list | tuple) or not all(
        isinstance(t, dict) and "name" in t for t in known
    ):
        raise ConfigError(
            "built.config in this bundle is no build configuration; start from configs/demo.toml"
        )
    kept = [t for t in known if t["name"] in traits]
    changed = {
        **config,
        "name": name,
        "title": f"{config.get('title') or name} (planned)",
        "traits": kept,
    }
    # Options of older versions: one had one value, the other is now counted per prompt.
    changed.pop("value", None)
    if isinstance(training := changed.get("training"), dict):
        changed["training"] = {k: v for k, v in training.items() if k != "pairs"}
    changed["plan"] = {**config.get("plan", {}), "betas": [beta], "members": list(members)}
    if len(kept) < len(known):
        changed["plan"]["resolution"] = RESOLUTION[len(kept)]
    changed["selection"] = {**config.get("selection", {}), "k": k}
    changed["plan"]["adapters"] = max(int(changed["plan"].get("adapters", 0)), k + len(kept))
    return tomli_w.dumps(_without_none(changed))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list | tuple) else value
