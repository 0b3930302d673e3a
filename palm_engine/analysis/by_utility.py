"""Users who don't add traits up, by names: members for them, and what a portfolio costs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from palm_engine._types import Scope
from palm_engine.analysis.choosing import Bounds, limits_of
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import named_weights
from palm_engine.geometry.utilities import AtLeast, Chebyshev, PMean, Unit, Utility
from palm_engine.selection.by_utility import best_for, candidates_never_linear
from palm_engine.selection.options import Options
from palm_engine.tables.reward_table import RewardTable

# What a unit that is missing of a requirement costs where nothing else is said.
PRICE = 10.0


@dataclass(frozen=True)
class UtilitySelection:
    """A portfolio for users of a utility, and the worst-off of them.

    Attributes:
        utility: in words.
        policies: names of the members, in the order of the table.
        loss: the largest loss of any of these users, at least 0.
        upper: nobody loses more; the same as `loss` where that is exact.
        unit: `share` of the best value, or `reward units`.
        at: weights of the worst-off user, by trait.
        scope: `candidates` (exact) or `sampled`.
        lower_bound: no portfolio of the size has a smaller loss (proved); None where the members
            were given.
        never_linear: policies that are best for some of these users and for no linear weights.
    """

    utility: str
    policies: tuple[str, ...]
    loss: float
    upper: float
    unit: Unit
    at: dict[str, float]
    scope: Scope
    lower_bound: float | None
    never_linear: tuple[str, ...]


def select_by_utility(
    source: Bundle | RewardTable,
    *,
    k: int | None = None,
    members: Sequence[str] | None = None,
    mean: float | None = None,
    at_least: Mapping[str, float] | None = None,
    chebyshev: bool = False,
    price: float = PRICE,
    where: Bounds | None = None,
    floors: Mapping[str, float] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    options: Options | None = None,
) -> UtilitySelection:
    """Members for users whose utility isn't `w·u`, or what given members cost such users.

    Args:
        source: a bundle, or a reward table.
        k: how many members to choose. Or give `members` to look at.
        members: names of policies.
        mean: users have the weighted p-mean of this p, 0 to 20: 0 is the geometric mean, 1 adds up.
        at_least: users require these rewards, `{trait: least}` from 0 to 1.
        chebyshev: users count the trait that is farthest from its best.
        price: of a unit that is missing of what is required, above 0.
        where: weights that count, `{trait: (least, most)}`; None: a bundle's own, {}: all.
        floors: least reward that a member must have, by trait.
        include: policies that must be members.
        exclude: policies that may not be members.
        options: further limits, as the time.

    Raises:
        InvalidInputError: not one of `k` and `members`, not one utility, an unknown name, rewards
            that the utility isn't defined for, or limits that make no sense.
        BundleError: a bundle has no candidate of a name.
        InfeasibleError: no portfolio meets the limits.
    """
    named = utility_of(source, mean, at_least, chebyshev, price)
    limits = limits_of(source, where, floors, include, exclude, options)
    return selected_for(named, source, limits, k, members)


def selected_for(
    named: tuple[str, Utility],
    source: Bundle | RewardTable,
    limits: Options,
    k: int | None,
    members: Sequence[str] | None,
) -> UtilitySelection:
    """`select_by_utility` with the utility and the limits made.

    Args:
        named: the utility, as `utility_of` gives it.
        source: a bundle, or a reward table.
        limits: which weights count, who may or must be a member.
        k: how many members to choose, or None.
        members: names of policies to look at, or None.

    Raises:
        InvalidInputError: not one of `k` and `members`, or rewards that the utility isn't defined
            for.
        BundleError: a bundle has no candidate of a name.
        InfeasibleError: no portfolio meets the limits.
    """
    if (k is None) == (members is None):
        raise InvalidInputError("give k to choose members, or members to look at some")
    words, utility = named
    points = source.points
    lower = None
    if members is None:
        found = best_for(utility, points, int(k or 0), limits)
        rows, worst, lower = found.members, found.worst, found.lower_bound
    else:
        rows = tuple(sorted({source.row(name) for name in members}))
        if not rows:
            raise InvalidInputError("members: give at least one policy")
        worst = utility.worst(points[list(rows)], points, limits.region)
    never = candidates_never_linear(utility, points, limits.region)
    return UtilitySelection(
        utility=words,
        policies=tuple(source.policies[i] for i in rows),
        loss=worst.loss,
        upper=worst.upper,
        unit=worst.unit,
        at=named_weights(worst.at, source.traits),
        scope=worst.scope,
        lower_bound=lower,
        never_linear=tuple(source.policies[i] for i in never),
    )


def utility_of(
    source: Bundle | RewardTable,
    mean: float | None = None,
    at_least: Mapping[str, float] | None = None,
    chebyshev: bool = False,
    price: float = PRICE,
) -> tuple[str, Utility]:
    """A utility in words, and itself; exactly one is given (see `select_by_utility`).

    Args:
        source: whose traits it is of.
        mean: p of a p-mean.
        at_least: required rewards, by trait.
        chebyshev: the worst trait counts.
        price: of a missing unit of reward, above 0.

    Raises:
        InvalidInputError: none or several, an unknown trait, a requirement that isn't from 0 to 1,
            or a price that isn't above 0.
    """
    if (mean is not None) + bool(at_least) + chebyshev != 1:
        raise InvalidInputError("give one utility: a mean, what is required, or the worst trait")
    if mean is not None:
        return f"a p-mean with p = {mean:g}", PMean(mean)
    if chebyshev:
        return "Chebyshev's utility", Chebyshev.of(source.points)
    required = dict(at_least or {})
    unknown = [t for t in required if t not in source.traits]
    if unknown:
        raise InvalidInputError(
            f"unknown trait {unknown[0]!r} is required; the traits are {', '.join(source.traits)}"
        )
    beyond = [t for t, x in required.items() if not 0 <= x <= 1]
    if beyond:
        raise InvalidInputError(
            f"{beyond[0]} at least {required[beyond[0]]:g}: rewards are from 0 to 1"
        )
    if not price > 0:
        raise InvalidInputError(f"a missing unit costs more than 0, got {price:g}")
    least = tuple(required.get(t, float("-inf")) for t in source.traits)
    text = ", ".join(f"{t} at least {x:g}" for t, x in required.items())
    return f"{text}, a missing unit costs {price:g}", AtLeast(least, price)
