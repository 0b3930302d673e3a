"""Select, certify and plan by names: what `import palm_engine` offers over bundles and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats, Progress, no_progress
from palm_engine.analysis import plan as planner
from palm_engine.analysis.limits import options_of_limits
from palm_engine.analysis.plan import PlanInfo
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.confidence import Bound, worst_gap_bound
from palm_engine.geometry.policies import as_points
from palm_engine.geometry.region import Region
from palm_engine.geometry.users import Users
from palm_engine.selection import minimum
from palm_engine.selection.choose import SLACK, Aim, Objective, choose
from palm_engine.selection.options import Options, below_floors
from palm_engine.selection.population import TOLERANCE, average_of, users_where
from palm_engine.selection.result import Selection, Target
from palm_engine.tables.reward_table import RewardTable

Bounds = Mapping[str, tuple[float, float]]
GapKind = Literal["additive", "multiplicative"]


def select(
    source: Bundle | RewardTable,
    *,
    k: int | None = None,
    eps: float = 0.0,
    delta: float = 0.0,
    method: str = "minimum",
    gap: GapKind = "additive",
    where: Bounds | None = None,
    floors: Mapping[str, float] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    split: str | None = None,
    options: Options | None = None,
    objective: Objective = "worst",
    users: Users | None = None,
    tolerance: float = TOLERANCE,
    share: float | None = None,
    slack: float = SLACK,
) -> Selection:
    """Choose a portfolio from the evaluated policies of a bundle or table.

    Args:
        source: a bundle, or a reward table.
        k: how many members: the best k. Or give a tolerance instead.
        eps: multiplicative tolerance, 0 to 1: the fewest members that keep it.
        delta: additive tolerance, in reward units: the fewest members that keep it.
        method: a name of `METHODS`.
        gap: what `k` minimises the worst of.
        where: weights that count, `{trait: (least, most)}`; None: a bundle's own, {}: all.
        floors: least reward that a member must have, by trait.
        include: policies that must be members.
        exclude: policies that may not be members.
        split: of a bundle, choose on the rewards of this split of prompts ("choose", so that
            `certify` on the others holds); None chooses on the rewards that the bundle shows.
        options: further limits (time, oracle calls, seed, PALM's grid); its region, included and
            excluded rows are replaced.
        objective: `worst`: the worst gap over all weights; `expected`: the mean gap of the users;
            `coverage`: the share of the users whose gap is at most `tolerance`.
        users: the population (`palm_engine.Users`); None: uniform over the weights that count.
        tolerance: additive gap that counts as served.
        share: with `coverage` and no k: the fewest members that serve this share of the users.
        slack: with `worst`: of the portfolios whose worst gap is within this share of the least,
            the one with the least expected gap is taken; 0 takes the first.

    Returns:
        The selection, with names: `policies`, `gap.additive`, `gap.at`, `pick({trait: weight})`;
        `average` says what the users get.

    Raises:
        InvalidInputError: an unknown name, or limits that make no sense.
        BundleError: a bundle has no candidate of a name.
        InfeasibleError: no portfolio meets the target.
        UndefinedGapError: a multiplicative gap where the best value is not positive everywhere.
    """
    points = _points(source, split)
    traits = source.traits
    limits = limits_of(source, where, floors, include, exclude, options)
    target = None
    if share is None:
        target = Target(k=k, eps=eps, delta=delta, multiplicative=gap == "multiplicative")
    elif k is not None or eps or delta:
        raise InvalidInputError("give a share of users, or k, eps or delta, not both")
    aim = Aim(objective, users, tolerance, share, slack)
    selection = choose(points, target, limits, method, aim)
    return selection.with_names(source.policies, traits, points)


def limits_of(
    source: Bundle | RewardTable,
    where: Bounds | None = None,
    floors: Mapping[str, float] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    options: Options | None = None,
) -> Options:
    """What is asked of weights and members, beside what a bundle (or its table) asks itself.

    Args:
        source: a bundle, or a reward table.
        where: weights that count, `{trait: (least, most)}`; None: a bundle's own, {}: all.
        floors: least reward that a member must have, by trait.
        include: policies that must be members.
        exclude: policies that may not be members.
        options: further limits; their region, included and excluded rows are replaced.

    Raises:
        InvalidInputError: an unknown name, or bounds that leave no room.
        BundleError: a bundle has no candidate of a name.
    """
    own = Options()
    if source.limits is not None:
        own = options_of_limits(source.limits, source.rewards, source.traits, source.row)
    below = below_floors(source.rewards, floors or {}, source.traits)
    return replace(
        options or Options(),
        region=own.region if where is None else region_of(where, source.traits),
        include=tuple(dict.fromkeys([*own.include, *_rows(source, include)])),
        exclude=tuple(dict.fromkeys([*own.exclude, *below, *_rows(source, exclude)])),
    )


def size_curve(
    source: Bundle | RewardTable | ArrayLike,
    most: int = 12,
    *,
    gap: GapKind = "additive",
    where: Bounds | None = None,
    floors: Mapping[str, float] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    options: Options | None = None,
    users: Users | None = None,
    tolerance: float = TOLERANCE,
    report: Progress = no_progress,
) -> list[Selection]:
    """The whole frontier: the exact best portfolio of every size, and what users get of it.

    Args:
        source: a bundle, a reward table, or points of shape (n, d), which have no names.
        most: the largest size; the curve ends earlier at a size whose worst gap is 0.
        gap: what is minimised the worst of.
        where: weights that count, `{trait: (least, most)}`; None: a bundle's own, {}: all.
        floors: least reward that a member must have, by trait.
        include: policies that must be members.
        exclude: policies that may not be members.
        options: further limits; the time limit is for each size.
        users: the population of `average`; None: uniform over the weights that count.
        tolerance: additive gap that counts as served.
        report: gets the share done and what is being done.

    Returns:
        By size: `gap` is the worst, `average.expected` the mean and `average.within` the share of
        users within the tolerance.

    Raises:
        InvalidInputError: an unknown name, or limits that make no sense.
        BundleError: a bundle has no candidate of a name.
        UndefinedGapError: a multiplicative gap where the best value is not positive everywhere.
    """
    if isinstance(source, (Bundle, RewardTable)):
        limits = limits_of(source, where, floors, include, exclude, options)
        points = source.points
    else:
        if where or floors or include or exclude:
            raise InvalidInputError("points have no names; put limits by row into options")
        limits = options or Options()
        points = as_points(source)
    found = minimum.size_curve(points, most, limits, gap == "multiplicative", report)
    if isinstance(source, (Bundle, RewardTable)):
        found = [s.with_names(source.policies, source.traits, points) for s in found]
    served = users or users_where(points.shape[1], limits.region)
    return [s.averaged(average_of(points, s, served, tolerance)) for s in found]


def certify(
    source: Bundle | RewardTable,
    portfolio: Selection | Sequence[str],
    *,
    where: Bounds | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Bound:
    """A confidence bound on a portfolio's additive worst gap, from the scores of single prompts.

    It holds for a portfolio that was chosen on other prompts: of a bundle, the certify prompts are
    used, so choose with `select(..., split="choose")`.

    Args:
        source: a bundle with recorded scores, or a table with one row per policy and prompt.
        portfolio: a selection, or names of policies.
        where: weights that count, `{trait: (least, most)}`; None: a bundle's own, {}: all.
        confidence: of each side of the bound by itself, between 0.5 and 1.
        resamples: random weightings of the prompts.
        seed: of the resampling.

    Raises:
        InvalidInputError: the source has no scores by prompt, or a policy is unknown.
        BundleError: a bundle has no candidate of a name.
    """
    scores = source.scores if isinstance(source, RewardTable) else source.scores_on("certify")
    if scores is None:
        raise InvalidInputError(
            "a bound needs scores by prompt: a bundle with answers to certify prompts, or a table "
            "with a column prompt_id"
        )
    names = portfolio.policies if isinstance(portfolio, Selection) else portfolio
    own = source.region if isinstance(source, Bundle) else None
    region = own if where is None else region_of(where, source.traits)
    rows = _rows(source, names)
    clusters = source.clusters if isinstance(source, RewardTable) else source.clusters_on("certify")
    return worst_gap_bound(scores, rows, confidence, resamples, seed, region, clusters, source.span)


def plan(
    source: Bundle | ArrayLike,
    *,
    k: int | None = None,
    eps: float = 0.0,
    delta: float = 0.0,
    betas: Sequence[float] | None = None,
    most: int = 0,
    report: Progress = no_progress,
    traits: Sequence[str] | None = None,
) -> PlanInfo:
    """Plan a portfolio in closed form on a scored pool, before any training (scope: pool).

    What is chosen has names: `chosen.policies`, `chosen.gap.at`, `chosen.pick({trait: weight})`.

    Args:
        source: a bundle with a pool, or scores of shape (prompts, samples, d) in [0, 1].
        k: how many members. Or give a tolerance instead.
        eps: multiplicative tolerance, 0 to 1.
        delta: additive tolerance, in reward units.
        betas: temperatures; None takes the bundle's own, or 0.05.
        most: also plan every size up to this one.
        report: gets the share done and what is being done.
        traits: names of the d traits of scores; `trait-1` and so on if not given.

    Raises:
        InvalidInputError: the bundle has no pool, or the scores or names have another shape.
        InfeasibleError: no portfolio meets the target.
    """
    target = Target(k=k, eps=eps, delta=delta)
    if not isinstance(source, Bundle):
        rewards = np.asarray(source, dtype=float)
        if rewards.ndim != 3 or not ((rewards >= 0) & (rewards <= 1)).all():
            raise InvalidInputError(
                f"a pool has shape (prompts, samples, traits), in [0, 1]; got {rewards.shape}"
            )
        names = list(traits or (f"trait-{i + 1}" for i in range(rewards.shape[2])))
        if len(set(names)) != rewards.shape[2]:
            raise InvalidInputError(
                f"traits: {rewards.shape[2]} different names are needed, got {names}"
            )
        found = planner.plan(rewards, betas or (0.05,), target, most=most, report=report)
        return _named(found, names)
    pool = source.pool_rewards
    if pool is None:
        raise InvalidInputError(f"{source.folder}: has no pool.parquet to plan on")
    found = planner.plan(
        pool,
        betas or source.manifest.beta or (0.05,),
        target,
        source.with_cost,
        planner.built_resolution(source.manifest.built.config),
        most,
        report,
    )
    return _named(found, source.traits)


def _named(info: PlanInfo, traits: Sequence[str]) -> PlanInfo:
    """The plan with names of planned policies and traits."""

    def named(selection: Selection) -> Selection:
        return selection.with_names(info.policies.names, traits, info.policies.points)

    return replace(info, chosen=named(info.chosen), curve=tuple(map(named, info.curve)))


def region_of(where: Bounds | None, traits: Sequence[str]) -> Region | None:
    """The region within bounds by trait; None where nothing is bounded.

    Args:
        where: `{trait: (least, most)}`, or None.
        traits: names of the d traits.

    Raises:
        InvalidInputError: an unknown trait, or bounds that leave no room.
    """
    if not where:
        return None
    if not isinstance(where, Mapping):
        raise InvalidInputError(
            f"where={where!r}: give bounds by trait, as in {{{traits[0]!r}: (0.2, 1.0)}}"
        )
    return Region.from_bounds(where, traits)


def _points(source: Bundle | RewardTable, split: str | None) -> Floats:
    if split is None:
        return source.points
    if not isinstance(source, Bundle):
        raise InvalidInputError(f"split={split!r}: a reward table has no splits; leave it out")
    points = source.points_on(split)
    if points is None:
        raise InvalidInputError(f"not every candidate was evaluated on the split {split!r}")
    return points


def _rows(source: Bundle | RewardTable, names: Sequence[str]) -> list[int]:
    if isinstance(names, str):
        raise InvalidInputError(f"{names!r}: give names of policies as a list, as in [{names!r}]")
    return sorted({source.row(name) for name in names})
