"""Selection for a population of users: best on average, most within a loss, fewest for a share.

Where the worst case asks for every weights, these ask for users: the least *expected* gap of k
members (k-median), the largest share of users that lose at most lambda, or the fewest members such
that at least a share nu loses at most lambda: the *(lambda, nu)* statement (after arXiv
2605.06656).
Exact, or with a proved bound, over the listed users; for users who are not listed, a margin that
holds for all portfolios of the size at once (Hoeffding 1963, doi:10.1080/01621459.1963.10500830,
and a union over the portfolios).
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.errors import InfeasibleError, InvalidInputError
from palm_engine.geometry.envelope import best_policy, upper_envelope
from palm_engine.geometry.fields import ROUNDING, is_within, users_of
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.policies import as_points
from palm_engine.geometry.region import Region
from palm_engine.geometry.users import Users, uniform_users
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.cuts import comparators
from palm_engine.selection.parts.median import CLOSE, k_median
from palm_engine.selection.parts.partial import Partial, fewest_serving, most_served
from palm_engine.selection.result import PROVED, Average, Selection, Target

CONFIDENCE = 0.95
# Additive gap that counts as served where nothing else is said.
TOLERANCE = 0.05
USERS = 20_000
# Gaps of users with candidates that are held at once; of more, a part of the users is chosen on.
MOST_CELLS = 20_000_000


def users_where(d: int, region: Region | None = None, count: int = USERS) -> Users:
    """Users drawn uniformly from the weights that count.

    Args:
        d: number of traits.
        region: the weights that count; None is the whole simplex.
        count: how many.
    """
    return uniform_users(users_of(d, region, count))


def best_on_average(
    candidates: ArrayLike,
    k: int,
    users: Users,
    options: Options = DEFAULT,
    tolerance: float = TOLERANCE,
) -> Selection:
    """The k members whose users lose least on average.

    Args:
        candidates: points, shape (n, d).
        k: number of members.
        users: the population.
        options: who may or must be a member; the time limit.
        tolerance: additive gap that counts as served, for `average`.

    Returns:
        The selection; `average.lower_bound` is proved for any k members and these users.

    Raises:
        InvalidInputError: options that make no sense here.
        InfeasibleError: more members are required than k.
    """
    started = time.perf_counter()
    q, rows, part, costs, fixed = _prepared(candidates, users, options, Target(k=k))
    deadline = None if options.time_limit is None else started + options.time_limit
    count = min(k, len(rows))
    found = k_median(costs, part.shares, count, fixed, deadline)
    proved = found.cost - found.lower_bound <= CLOSE
    made = _selection("expected", q, [rows[c] for c in found.columns], options, started)
    whole = len(part.weights) == len(users.weights)
    return made.averaged(
        average_of(q, made, users, tolerance, found.lower_bound if whole else None),
        PROVED if proved and whole else "exchange done",
    )


def most_within(
    candidates: ArrayLike, k: int, tolerance: float, users: Users, options: Options = DEFAULT
) -> Selection:
    """The members, at most k, with whom the largest share of users loses at most `tolerance`.

    Args:
        candidates: points, shape (n, d).
        k: number of members.
        tolerance: the loss that is tolerated (lambda), additive, at least 0.
        users: the population.
        options: who may or must be a member; the time limit.

    Returns:
        The selection; `average.within` is the share (nu).

    Raises:
        InvalidInputError: options that make no sense here.
        InfeasibleError: no eligible candidate serves anybody so well.
    """
    started = time.perf_counter()
    _require_tolerance(tolerance)
    q, rows, part, costs, fixed = _prepared(candidates, users, options, Target(k=k))
    left = options.left(started)
    found = most_served(is_within(costs, tolerance), part.shares, k, fixed, left)
    size = min(k, len(rows))
    if found.columns and len(found.columns) < size:
        # Who serves nobody more may still serve somebody better.
        more = k_median(costs, part.shares, size, found.columns)
        found = replace(found, columns=more.columns)
    return _covered(q, rows, found, tolerance, users, part, options, started)


def fewest_within(
    candidates: ArrayLike,
    tolerance: float,
    share: float,
    users: Users,
    options: Options = DEFAULT,
) -> Selection:
    """The fewest members with whom at least a share of the users loses at most `tolerance`.

    Args:
        candidates: points, shape (n, d).
        tolerance: the loss that is tolerated (lambda), additive, at least 0.
        share: of the users (nu), above 0, at most 1.
        users: the population.
        options: who may or must be a member; the time limit.

    Returns:
        The selection; `size_lower_bound` is proved for these users.

    Raises:
        InvalidInputError: a share or options that make no sense here.
        InfeasibleError: not even all eligible candidates serve that share so well.
    """
    started = time.perf_counter()
    _require_tolerance(tolerance)
    if not 0 < share <= 1:
        raise InvalidInputError(f"share must be above 0 and at most 1, got {share}")
    target = Target(delta=max(tolerance, ROUNDING))
    q, rows, part, costs, fixed = _prepared(candidates, users, options, target)
    serves = is_within(costs, tolerance)
    found = fewest_serving(serves, part.shares, share, fixed, options.left(started))
    if found.columns is None and not found.timed_out:
        raise InfeasibleError(
            f"no portfolio of the eligible candidates keeps the loss of {share:.1%} of the users"
            f" within {tolerance:g}: all of them together reach {found.share:.1%}; loosen one"
        )
    made = _covered(q, rows, found, tolerance, users, part, options, started)
    whole = len(part.weights) == len(users.weights)
    return made.bounded(int(found.bound) if whole else None)


def average_of(
    candidates: ArrayLike,
    selection: Selection,
    users: Users,
    tolerance: float = TOLERANCE,
    lower_bound: float | None = None,
) -> Average:
    """What a population gets of a portfolio.

    Args:
        candidates: points, shape (n, d).
        selection: of them.
        users: the population.
        tolerance: additive gap that counts as served.
        lower_bound: proved on the expected gap of any portfolio of the size.
    """
    q = as_points(candidates)
    p = np.atleast_2d(selection.points)
    best = upper_envelope(comparators(q), users.weights)
    gaps = np.maximum(best - upper_envelope(p, users.weights), 0.0)
    picked = best_policy(p, users.weights)
    usage = np.bincount(picked, weights=users.shares, minlength=len(p))
    used = usage[usage > 0]
    margin = _margin(len(q), len(p), users.effective)
    expected = float(users.shares @ gaps)
    within = float(users.shares[is_within(gaps, tolerance)].sum())
    return Average(
        users=len(users.weights),
        expected=expected,
        expected_at_most=min(
            expected + margin * selection.gap.additive, max(selection.gap.additive, expected)
        ),
        largest=float(gaps.max()),
        tolerance=tolerance,
        within=within,
        within_at_least=max(within - margin, 0.0),
        confidence=CONFIDENCE,
        usage=tuple(float(u) for u in usage),
        perplexity=float(np.exp(-(used * np.log(used)).sum())),
        lower_bound=lower_bound,
    )


def _margin(count: int, k: int, users: float) -> float:
    """How far off a mean of numbers in [0, 1] may be, for all portfolios of at most k at once."""
    portfolios = sum(math.comb(count, size) for size in range(1, k + 1))
    return math.sqrt((math.log(portfolios) - math.log(1 - CONFIDENCE)) / (2 * users))


def _require_tolerance(tolerance: float) -> None:
    if not (tolerance >= 0 and math.isfinite(tolerance)):
        raise InvalidInputError(f"a tolerated loss is at least 0, got {tolerance}")


def _prepared(
    candidates: ArrayLike, users: Users, options: Options, target: Target
) -> tuple[Floats, list[int], Users, Floats, tuple[int, ...]]:
    """Points, rows of the columns, users to choose on, their gaps with each, required columns.

    Raises:
        InvalidInputError: users of other traits.
    """
    q = as_points(candidates)
    if users.weights.shape[1] != q.shape[1]:
        raise InvalidInputError(
            f"users have {users.weights.shape[1]} weights, the candidates {q.shape[1]} traits"
        )
    options.check(len(q), q.shape[1], target)
    rows = [int(i) for i in options.eligible(len(q))]
    part = _some(users, max(MOST_CELLS // len(rows), 100))
    best = upper_envelope(comparators(q), part.weights)
    costs = np.maximum(best[:, None] - part.weights @ q[rows].T, 0.0)
    return q, rows, part, costs, tuple(rows.index(i) for i in options.include)


def _some(users: Users, most: int) -> Users:
    """At most so many of the users' rows, the same each time."""
    if len(users.weights) <= most:
        return users
    chosen = np.sort(np.random.default_rng(0).choice(len(users.weights), most, replace=False))
    return Users(users.weights[chosen], users.counts[chosen])


def _selection(
    method: str, q: Floats, members: list[int], options: Options, started: float
) -> Selection:
    kept = tuple(sorted(members))
    points = q[list(kept)]
    gap = worst_gap(points, comparators(q), options.region)
    return Selection(method, kept, points, gap, seconds=time.perf_counter() - started)


def _covered(
    q: Floats,
    rows: list[int],
    found: Partial,
    tolerance: float,
    users: Users,
    part: Users,
    options: Options,
    started: float,
) -> Selection:
    if not found.columns:
        why = "time ran out" if found.timed_out else f"nobody's loss is within {tolerance:g}"
        raise InfeasibleError(f"no members were found: {why}; loosen the loss or the limits")
    made = _selection("coverage", q, [rows[c] for c in found.columns], options, started)
    whole = len(part.weights) == len(users.weights)
    stopped = PROVED if whole else "best of a part of the users"
    if found.timed_out:
        stopped = "time limit"
    return made.averaged(average_of(q, made, users, tolerance), stopped)
