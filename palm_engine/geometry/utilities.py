"""Users whose utility isn't linear in the traits: p-means, requirements, Chebyshev's distance.

For weights w of a user and rewards u of a policy:

- `PMean(p)`: `(sum w_i u_i^p)^(1/p)`; p = 1 is linear, p = 0 the geometric mean, below 1 a lack in
  one trait isn't made up by another. After the p-means of a predecessor of PALM (arXiv 2502.09724).
- `AtLeast`: what a policy lacks of required rewards costs a price, then `w·u` counts: "at least .7
  safety, then most humor".
- `Chebyshev`: `-max w_i (z_i - u_i)`, how far the worst trait is from the best z (Steuer and Choo
  1983, doi:10.1007/BF02591870): it makes policies best that no linear weights do.

The first two are linear after a change of points, so worst losses over all weights are exact. For
the third they are sampled, with a bound by its Lipschitz constant (docs/guarantees.md, 12).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from palm_engine._types import Floats, Scope
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import grid, lattice_steps

MOST_WEIGHTS = 60_000
MOST_CELLS = 20_000_000
MOST_P = 20.0
LEAST_P = 1e-3

Unit = Literal["share", "reward units"]


@dataclass(frozen=True)
class WorstLoss:
    """The largest loss of any user to the best candidate.

    Attributes:
        loss: found.
        upper: no user loses more; the same as `loss` where that is exact.
        at: the weights of `loss`, (d,).
        unit: `share` of the best value, or `reward units`.
        scope: `candidates` (exact) or `sampled`.
    """

    loss: float
    upper: float
    at: Floats
    unit: Unit
    scope: Scope


class Utility(Protocol):
    """What a policy is worth to users."""

    def values(self, points: Floats, weights: Floats) -> Floats:
        """Worth of points (n, d) to users with weights (m, d): shape (m, n)."""
        ...

    def worst(self, members: Floats, candidates: Floats, region: Region | None) -> WorstLoss:
        """The worst loss of members (k, d) beside candidates (n, d), over a region's weights."""
        ...


@dataclass(frozen=True)
class PMean:
    """The weighted p-mean of the rewards; p from 0 to MOST_P.

    Attributes:
        p: the exponent.
    """

    p: float

    def __post_init__(self) -> None:
        if not 0 <= self.p <= MOST_P:
            raise InvalidInputError(f"a p-mean has p from 0 to {MOST_P:g}, got {self.p:g}")
        if 0 < self.p < LEAST_P:
            raise InvalidInputError(
                f"p = {self.p:g} can't be told from 0, the geometric mean; give 0 or at least"
                f" {LEAST_P:g}"
            )

    def values(self, points: Floats, weights: Floats) -> Floats:
        """See Utility."""
        linear = weights @ self.changed(points).T
        return np.asarray(np.exp(linear) if self.p == 0 else linear ** (1 / self.p))

    def changed(self, points: Floats) -> Floats:
        """Points for which a monotone function of the utility is linear, (n, d).

        Raises:
            InvalidInputError: a reward is negative, or 0 for p = 0.
        """
        if points.min() < 0 or (self.p == 0 and points.min() <= 0):
            least = "above 0" if self.p == 0 else "at least 0"
            raise InvalidInputError(
                f"a p-mean with p = {self.p:g} needs rewards {least}, found {points.min():.4g};"
                " leave that policy or trait out, or use p = 1"
            )
        return np.log(points) if self.p == 0 else points**self.p

    def share(self, gap: float) -> float:
        """The share of the utility that is lost where the changed points have this gap.

        Additive for p = 0, else multiplicative.
        """
        if self.p == 0:
            return 1 - math.exp(-gap)
        return float(1 - (1 - min(max(gap, 0.0), 1.0)) ** (1 / self.p))

    def worst(self, members: Floats, candidates: Floats, region: Region | None) -> WorstLoss:
        """See Utility; exact.

        Raises:
            InvalidInputError: rewards that it isn't defined for.
        """
        # A p-mean grows with its rewards: shares are those of rewards up to 1.
        most = candidates.max() if candidates.max() > 0 else 1.0
        found = worst_gap(self.changed(members / most), self.changed(candidates / most), region)
        if self.p == 0:
            loss = self.share(found.additive)
            return WorstLoss(loss, loss, found.at_weights_additive, "share", "candidates")
        if found.multiplicative is None or found.at_weights_multiplicative is None:
            raise InvalidInputError(f"no share of the best can be given: {found.undefined}")
        loss = self.share(found.multiplicative)
        return WorstLoss(loss, loss, found.at_weights_multiplicative, "share", "candidates")


@dataclass(frozen=True)
class AtLeast:
    """`w·u` less a price for what is missing of required rewards.

    Attributes:
        least: required rewards, (d,); -inf where nothing is required.
        price: of a missing unit of reward, above 0.
    """

    least: tuple[float, ...]
    price: float = 10.0

    def values(self, points: Floats, weights: Floats) -> Floats:
        """See Utility."""
        return np.asarray(weights @ self.changed(points).T)

    def changed(self, points: Floats) -> Floats:
        """The points, lowered in every trait by the price of what they lack, (n, d)."""
        lacking = np.maximum(np.array(self.least) - points, 0.0).sum(axis=1)
        return np.asarray(points - self.price * lacking[:, None])

    def worst(self, members: Floats, candidates: Floats, region: Region | None) -> WorstLoss:
        """See Utility; exact."""
        found = worst_gap(self.changed(members), self.changed(candidates), region)
        at = found.at_weights_additive
        return WorstLoss(found.additive, found.additive, at, "reward units", "candidates")


@dataclass(frozen=True)
class Chebyshev:
    """Minus the largest weighted distance to an ideal.

    Attributes:
        ideal: z, (d,); at least every candidate's rewards.
    """

    ideal: tuple[float, ...]

    @classmethod
    def of(cls, candidates: Floats) -> Chebyshev:
        """With the best of each trait as the ideal."""
        return cls(tuple(float(x) for x in candidates.max(axis=0)))

    def values(self, points: Floats, weights: Floats) -> Floats:
        """See Utility."""
        away = np.array(self.ideal) - points
        values = np.empty((len(weights), len(points)))
        step = max(MOST_CELLS // max(away.size, 1), 1)
        for start in range(0, len(weights), step):
            part = weights[start : start + step]
            values[start : start + step] = -(part[:, None, :] * away[None]).max(axis=2)
        return values

    def worst(self, members: Floats, candidates: Floats, region: Region | None) -> WorstLoss:
        """See Utility; on a lattice, with a bound between its weights.

        Raises:
            InvalidInputError: a region that is smaller than the simplex.
        """
        if region is not None and not region.is_whole:
            raise InvalidInputError("Chebyshev's utility is looked at over all weights; no bounds")
        d = candidates.shape[1]
        steps = lattice_steps(d, min(MOST_WEIGHTS, MOST_CELLS // len(candidates)))
        weights = grid(d, steps)
        best = self.values(candidates, weights).max(axis=1)
        losses = best - self.values(members, weights).max(axis=1)
        worst = int(np.argmax(losses))
        loss = max(float(losses[worst]), 0.0)
        return WorstLoss(
            loss,
            loss + self.between(candidates, steps),
            weights[worst],
            "reward units",
            "sampled",
        )

    def between(self, candidates: Floats, steps: int) -> float:
        """How much more is lost between the weights of a lattice, at most.

        A utility changes by at most the largest distance to the ideal times the largest change of a
        weight, which is at most (d-1)/d of a step to the next weight of the lattice; a loss is the
        difference of two.
        """
        d = len(self.ideal)
        farthest = float((np.array(self.ideal) - candidates).max())
        return 2 * farthest * (d - 1) / (d * steps)
