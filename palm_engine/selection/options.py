"""How a selection is done: guardrails on weights and members, limits, the seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palm_engine.errors import InfeasibleError, InvalidInputError
from palm_engine.geometry.region import Region
from palm_engine.selection.result import Selection, Target


@dataclass(frozen=True)
class Options:
    """Guardrails and limits of a search.

    Every method keeps `region`, `include` and, but for `adaptive` and `placement`, `exclude`; what
    else a method reads is said at the field.

    Attributes:
        region: the weights that count; None is the whole simplex.
        include: candidate rows that must be members.
        exclude: candidate rows that may not; they still count as comparators: what they would give
            is part of the best value.
        time_limit: in seconds; then the best found is returned.
        budget: of oracle calls (`palm`, `adaptive`, `placement` and the baselines).
        batch: oracle calls made at once, for several trainers (`adaptive`, `placement`).
        seed: for methods that draw (`random`).
        grid_eps: eps of the grid of `palm`.
        grid_delta: delta of the grid of `palm`.
        thin_grid: use the thin grid in its place (parts/grids.py): the same promise, about one of d
            of its weights.
        found: called with the best so far and its bound, whenever either improves (`minimum`).
    """

    region: Region | None = None
    include: tuple[int, ...] = ()
    exclude: tuple[int, ...] = ()
    time_limit: float | None = None
    budget: int | None = None
    batch: int = 1
    seed: int = 0
    grid_eps: float = 0.1
    grid_delta: float = 0.1
    thin_grid: bool = False
    found: Callable[[Selection], None] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "include", tuple(sorted(set(self.include))))
        object.__setattr__(self, "exclude", tuple(sorted(set(self.exclude))))
        if self.batch < 1 or (self.budget is not None and self.budget < 1):
            raise InvalidInputError(
                f"budget and batch must be at least 1, got {self.budget} and {self.batch}"
            )

    def late(self, started: float) -> bool:
        """Whether the time limit has passed since `started` (time.perf_counter())."""
        return self.time_limit is not None and time.perf_counter() - started > self.time_limit

    def left(self, started: float) -> float | None:
        """Seconds until the time limit, a little at least; None without one."""
        if self.time_limit is None:
            return None
        return max(self.time_limit - (time.perf_counter() - started), 0.01)

    def eligible(self, count: int) -> NDArray[np.intp]:
        """Rows of `count` candidates that may be members, ascending, shape (m,)."""
        allowed = np.ones(count, dtype=bool)
        allowed[list(self.exclude)] = False
        return np.flatnonzero(allowed)

    def check_rows(self, count: int) -> None:
        """Check included and excluded rows.

        Args:
            count: number of candidates.

        Raises:
            InvalidInputError: a row that doesn't exist.
            InfeasibleError: a row that is both required and excluded, or nobody is eligible.
        """
        wrong = [i for i in (*self.include, *self.exclude) if not 0 <= i < count]
        if wrong:
            raise InvalidInputError(f"candidate row {wrong[0]} doesn't exist; there are {count}")
        both = set(self.include) & set(self.exclude)
        if both:
            raise InfeasibleError(
                f"candidate row {min(both)} is both required and ruled out (by a floor or by name)"
            )
        if len(self.exclude) and not len(self.eligible(count)):
            raise InfeasibleError(
                "no candidate may be a member; loosen the floors or the exclusions"
            )

    def check(self, count: int, d: int, target: Target) -> None:
        """Check that these options make sense.

        Args:
            count: number of candidates.
            d: number of traits.
            target: what is asked for.

        Raises:
            InvalidInputError: rows or bounds that don't fit.
            InfeasibleError: more members are required than the budget allows.
        """
        self.check_rows(count)
        if target.k is not None and len(self.include) > target.k:
            raise InfeasibleError(f"{len(self.include)} members are required, but k is {target.k}")
        if self.region is not None and self.region.d != d:
            raise InvalidInputError(f"bounds on {self.region.d} weights don't fit {d} traits")


DEFAULT = Options()


def below_floors(
    rewards: NDArray[np.float64], floors: Mapping[str, float], traits: Sequence[str]
) -> tuple[int, ...]:
    """Candidates that miss a floor, and so may not be members.

    Args:
        rewards: reward vectors, shape (n, d).
        floors: least reward by trait.
        traits: names of the d traits.

    Returns:
        Rows, ascending.

    Raises:
        InvalidInputError: an unknown trait.
    """
    unknown = [t for t in floors if t not in traits]
    if unknown:
        raise InvalidInputError(
            f"unknown trait {unknown[0]!r} in a floor; the traits are {', '.join(traits)}"
        )
    least = np.array([floors.get(t, -np.inf) for t in traits])
    return tuple(int(i) for i in np.flatnonzero((rewards < least).any(axis=1)))
