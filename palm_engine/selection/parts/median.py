"""The k columns that are cheapest on average: k-median on a finite set of users.

Found by adding the best column, then by exchanging one at a time (Teitz and Bart 1968,
doi:10.1287/opre.16.5.955); few are all looked at. How far from the best that may be, a Lagrangian
relaxation bounds (Cornuéjols, Fisher and Nemhauser 1977, doi:10.1287/mnsc.23.8.789).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from palm_engine._types import Floats

# Sets of columns, times rows, that are all looked at; of more, those that exchanging one leads to.
MOST_LOOKED_AT = 10_000_000
STEPS = 300
CLOSE = 1e-9
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Median:
    """Columns that are cheap on average.

    Attributes:
        columns: ascending.
        cost: their mean cost.
        lower_bound: proved on the mean cost of any so many columns.
    """

    columns: tuple[int, ...]
    cost: float
    lower_bound: float


def k_median(
    costs: Floats,
    shares: Floats,
    k: int,
    fixed: Sequence[int] = (),
    deadline: float | None = None,
) -> Median:
    """The k columns with the least mean of each row's cheapest, and a bound.

    Args:
        costs: of each row with each column, shape (m, n), at least 0.
        shares: of the rows, (m,), summing to 1.
        k: number of columns, 1 to n.
        fixed: columns that must be among them.
        deadline: of time.perf_counter(); then the best so far, and a weaker bound.
    """
    sets = math.comb(costs.shape[1] - len(fixed), k - len(fixed))
    if sets * len(costs) <= MOST_LOOKED_AT:
        columns = _of_all(costs, shares, k, fixed)
        cost = _cost(costs, shares, columns)
        return Median(columns, cost, cost)
    columns = _exchanged(costs, shares, _grown(costs, shares, k, fixed), fixed, deadline)
    cost = _cost(costs, shares, columns)
    return Median(columns, cost, median_bound(costs, shares, k, cost, fixed, deadline))


def exchanged_costs(costs: Floats, shares: Floats, columns: Sequence[int]) -> Floats:
    """The mean cost after one chosen column is exchanged for any other.

    Args:
        costs: shape (m, n).
        shares: of the rows, (m,).
        columns: the k chosen ones.

    Returns:
        Shape (k, n); infinite for columns that are chosen already.
    """
    own = costs[:, list(columns)]
    order = np.argsort(own, axis=1)
    rows = np.arange(len(own))
    nearest = own[rows, order[:, 0]]
    second = own[rows, order[:, 1]] if len(columns) > 1 else np.full(len(own), np.inf)
    found = np.empty((len(columns), costs.shape[1]))
    for place in range(len(columns)):
        left = np.where(order[:, 0] == place, second, nearest)
        found[place] = _with_each(costs, shares, left)
    found[:, list(columns)] = np.inf
    return found


def median_bound(
    costs: Floats,
    shares: Floats,
    k: int,
    reached: float,
    fixed: Sequence[int] = (),
    deadline: float | None = None,
) -> float:
    """A lower bound on the mean cost of any k columns: the Lagrangian dual, by subgradients.

    Args:
        costs: shape (m, n), at least 0.
        shares: of the rows, (m,), summing to 1.
        k: number of columns.
        reached: the mean cost of some k columns.
        fixed: columns that must be among them.
        deadline: of time.perf_counter().
    """
    weighed = shares[:, None] * costs
    price = np.sort(weighed, axis=1)[:, : min(2, costs.shape[1])].max(axis=1)
    best = 0.0
    pace = 1.0
    stale = 0
    free = k - len(fixed)
    for _ in range(STEPS):
        saved = np.minimum(weighed - price[:, None], 0.0)
        totals = saved.sum(axis=0)
        totals[list(fixed)] = -np.inf
        opened = np.argpartition(totals, k - 1)[:k]
        totals[list(fixed)] = saved[:, list(fixed)].sum(axis=0)
        value = float(price.sum() + totals[opened].sum())
        stale = 0 if value > best + CLOSE else stale + 1
        best = max(best, value)
        slope = 1.0 - (saved[:, opened] < 0).sum(axis=1)
        length = float(slope @ slope)
        late = deadline is not None and time.perf_counter() > deadline
        if length == 0 or reached - best <= CLOSE or late or pace < 1e-4 or free < 0:
            break
        if stale >= 10:
            pace /= 2
            stale = 0
        price = np.maximum(price + pace * (reached - value) / length * slope, 0.0)
    return min(best, reached)


def _cost(costs: Floats, shares: Floats, columns: Sequence[int]) -> float:
    return float(shares @ costs[:, list(columns)].min(axis=1))


def _of_all(costs: Floats, shares: Floats, k: int, fixed: Sequence[int]) -> tuple[int, ...]:
    rest = [c for c in range(costs.shape[1]) if c not in fixed]
    tried = (tuple(sorted((*fixed, *some))) for some in combinations(rest, k - len(fixed)))
    return min(tried, key=lambda columns: (_cost(costs, shares, columns), columns))


def _grown(costs: Floats, shares: Floats, k: int, fixed: Sequence[int]) -> tuple[int, ...]:
    chosen = list(fixed)
    nearest = costs[:, chosen].min(axis=1) if chosen else np.full(len(costs), np.inf)
    while len(chosen) < k:
        totals = _with_each(costs, shares, nearest)
        totals[chosen] = np.inf
        chosen.append(int(np.argmin(totals)))
        nearest = np.minimum(nearest, costs[:, chosen[-1]])
    return tuple(sorted(chosen))


def _exchanged(
    costs: Floats,
    shares: Floats,
    columns: tuple[int, ...],
    fixed: Sequence[int],
    deadline: float | None,
) -> tuple[int, ...]:
    while deadline is None or time.perf_counter() <= deadline:
        totals = exchanged_costs(costs, shares, columns)
        totals[[i for i, c in enumerate(columns) if c in fixed]] = np.inf
        place, column = np.unravel_index(int(np.argmin(totals)), totals.shape)
        if totals[place, column] >= _cost(costs, shares, columns) - 1e-12:
            break
        kept = [c for i, c in enumerate(columns) if i != place]
        columns = tuple(sorted((*kept, int(column))))
    return columns


def _with_each(costs: Floats, shares: Floats, nearest: Floats) -> Floats:
    """The mean cost of each column beside what is nearest already, shape (n,)."""
    width = max(1, _BLOCK // max(len(costs), 1))
    parts = [
        shares @ np.minimum(nearest[:, None], costs[:, start : start + width])
        for start in range(0, costs.shape[1], width)
    ]
    return np.concatenate(parts)
