"""What every selection method returns, and the target that it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.envelope import best_policy
from palm_engine.geometry.gap import WorstGap, check_tolerance
from palm_engine.geometry.region import Region


@dataclass(frozen=True)
class Target:
    """Either a budget `k` of members (least worst gap), or a tolerance (eps, delta) (fewest
    members).

    With `k`, `multiplicative` minimises the multiplicative worst gap; the additive one otherwise.
    """

    k: int | None = None
    eps: float = 0.0
    delta: float = 0.0
    multiplicative: bool = False

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise InvalidInputError(f"k must be at least 1, got {self.k}")
        check_tolerance(self.eps, self.delta)
        if self.k is not None and (self.eps or self.delta):
            raise InvalidInputError("give either a budget k or a tolerance (eps, delta), not both")
        if self.k is None and self.eps == 0 and self.delta == 0:
            raise InvalidInputError("give a target: k, or eps and/or delta above 0")
        if self.multiplicative and self.k is None:
            raise InvalidInputError(
                "a multiplicative target has a budget k; for a tolerance give eps"
            )

    def require_additive(self, method: str) -> None:
        """Raise InvalidInputError where a method that only minimises the additive gap is asked for
        the multiplicative one.
        """
        if self.multiplicative:
            raise InvalidInputError(
                f"{method} minimises the additive gap only; use minimum, adaptive or placement"
            )


@dataclass(frozen=True)
class Selection:
    """A portfolio chosen from candidates.

    `members` are row indices, sorted (for an oracle: of `found`); `points` (k, d) are theirs.

    `found` (n, d) are the points and `weights` (n, d) the weights of an oracle's calls; None for a
    table's method. `gap` is exact over the whole simplex against the candidates (`scope`).
    `size_lower_bound` is a proved bound on the size for an (eps, delta) target, `gap_lower_bound`
    one on the worst gap (as the target asked) of any k candidates; None where not asked or not
    proved. `stopped` says what ended the search.
    """

    method: str
    members: tuple[int, ...]
    points: Floats
    gap: WorstGap
    size_lower_bound: int | None = None
    gap_lower_bound: float | None = None
    scope: str = "candidates"
    oracle_calls: int = 0
    seconds: float = 0.0
    stopped: str = "proved optimal"
    found: Floats | None = None
    weights: Floats | None = None

    def stands_for(self, region: Region | None = None, draws: int = 20_000) -> list[Floats | None]:
        """The weights each member stands for, shape (d,) each.

        Where the oracle found it, or else the middle of the part of `region` where it is picked (by
        `draws` weights drawn uniformly); None where it is never picked.
        """
        if self.weights is not None:
            return [self.weights[m] for m in self.members]
        drawn = (region or Region.whole(self.points.shape[1])).sample(
            draws, np.random.default_rng(0)
        )
        picked = best_policy(self.points, drawn)
        return [
            drawn[picked == i].mean(axis=0) if (picked == i).any() else None
            for i in range(len(self.points))
        ]
