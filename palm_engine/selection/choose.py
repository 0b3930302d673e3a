"""What a portfolio is chosen for: the worst-off user, users on average, or a share of them.

One call for every objective: pages, the command line and `palm_engine.select` use it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.users import Users
from palm_engine.selection.methods import get_method
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.average import with_least_expected_gap
from palm_engine.selection.population import (
    average_of,
    best_on_average,
    fewest_within,
    most_within,
    users_where,
)
from palm_engine.selection.result import Selection, Target

Objective = Literal["worst", "expected", "coverage"]
SLACK = 0.05
EXACT = "minimum"
# Gaps and values that differ by less are equal.
EQUAL = 1e-12


@dataclass(frozen=True)
class Aim:
    """What is asked for besides size or tolerance.

    Attributes:
        objective: `worst`: the worst gap over all weights, and among portfolios within `slack` of
            the least, the one with the least expected gap; `expected`: the mean gap of the users;
            `coverage`: the share of users whose gap is at most `tolerance`.
        users: the population; None: uniform over the weights that count.
        tolerance: additive gap that counts as served.
        share: of users to serve with the fewest members (coverage without a budget k).
        slack: share of the least worst gap that may be given up for a smaller expected gap.
    """

    objective: Objective = "worst"
    users: Users | None = None
    tolerance: float = 0.05
    share: float | None = None
    slack: float = SLACK

    def __post_init__(self) -> None:
        if self.objective not in get_args(Objective):
            raise InvalidInputError(
                f"objective {self.objective!r} is none of {', '.join(get_args(Objective))}"
            )
        if not 0 <= self.slack <= 1:
            raise InvalidInputError(f"slack must be between 0 and 1, got {self.slack}")
        if self.share is not None and self.objective != "coverage":
            raise InvalidInputError("a share of users goes with the objective coverage")


WORST = Aim()


def choose(
    points: Floats,
    target: Target | None,
    options: Options = DEFAULT,
    method: str = EXACT,
    aim: Aim = WORST,
) -> Selection:
    """Choose members by an objective; `average` of the result says what the users get.

    Args:
        points: candidates, shape (n, d).
        target: a budget k or a tolerance; None with a share of users.
        options: guardrails and limits.
        method: a name of `METHODS`, for the objective worst.
        aim: the objective, the population and the slack.

    Returns:
        Of a budget k, fewer than k where the others change neither gap: the smallest of equal ones.

    Raises:
        InvalidInputError: a target, method or population that doesn't go with the objective.
        InfeasibleError: no portfolio meets the target.
    """
    users = aim.users or users_where(points.shape[1], options.region)
    if aim.objective == "worst":
        if target is None:
            raise InvalidInputError("give a target: k, or eps and/or delta above 0")
        found = get_method(method).select(points, target, options)
        left = None if options.time_limit is None else options.time_limit - found.seconds
        if method == EXACT and not target.multiplicative and (left is None or left > 0):
            rest = replace(options, time_limit=left)
            found = with_least_expected_gap(points, found, aim.slack, rest, aim.users, target)
        if method == EXACT and target.k is not None and not target.multiplicative:
            found = _without_idle(points, found, users, options)
        return found.averaged(average_of(points, found, users, aim.tolerance))
    if method != EXACT:
        raise InvalidInputError(
            f"the objective {aim.objective} has a method of its own; leave {method!r} out"
        )
    if target is not None and (target.k is None or target.multiplicative):
        raise InvalidInputError(
            f"the objective {aim.objective} takes a budget k"
            + (", or a share of users" if aim.objective == "coverage" else "")
        )
    if aim.share is not None:
        if target is not None:
            raise InvalidInputError("give a budget k or a share of users, not both")
        return fewest_within(points, aim.tolerance, aim.share, users, options)
    if target is None or target.k is None:
        raise InvalidInputError(f"the objective {aim.objective} takes a budget k")
    if aim.objective == "coverage":
        return most_within(points, target.k, aim.tolerance, users, options)
    return best_on_average(points, target.k, users, options, aim.tolerance)


def _without_idle(points: Floats, found: Selection, users: Users, options: Options) -> Selection:
    """The selection without members that change neither its worst nor its expected gap."""
    kept = list(found.members)
    costs = users.weights @ points[kept].T
    for member in found.members[::-1]:
        rest = [m for m in kept if m != member]
        if not rest or member in options.include:
            continue
        columns = [found.members.index(m) for m in rest]
        own = [found.members.index(m) for m in kept]
        if (costs[:, columns].max(axis=1) < costs[:, own].max(axis=1) - EQUAL).any():
            continue
        if worst_gap(points[rest], points, options.region).additive <= found.gap.additive + EQUAL:
            kept = rest
    if len(kept) == len(found.members):
        return found
    gap = worst_gap(points[kept], points, options.region)
    return replace(found, members=tuple(kept), points=points[kept], gap=gap)
