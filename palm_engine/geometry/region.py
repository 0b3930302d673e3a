"""The weights that matter: the whole simplex, or the part within bounds on single weights.

Worst gaps and selection on such a polytope are as exact as on the simplex: its facets become facets
of the cells, its corners vertices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import sample_uniform

LEAST_WIDTH = 1e-6
# Rounds of rejection; after a few of them it goes on only if the rest can do it.
MOST_TRIES = 400
FEW_TRIES = 4


@dataclass(frozen=True)
class Region:
    """Weights w of the simplex with `lower <= w <= upper`.

    Bounds that leave less than a sliver are refused with InvalidInputError: exact vertices need an
    interior.

    Attributes:
        lower: shape (d,).
        upper: shape (d,).
    """

    lower: Floats
    upper: Floats

    def __post_init__(self) -> None:
        lower = np.asarray(self.lower, dtype=float)
        upper = np.asarray(self.upper, dtype=float)
        if lower.ndim != 1 or lower.shape != upper.shape or len(lower) < 2:
            raise InvalidInputError(
                f"bounds need shape (d >= 2,), got {lower.shape} and {upper.shape}"
            )
        if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
            raise InvalidInputError("bounds on weights must be finite numbers")
        lower, upper = _narrowed(lower, upper)
        _require_room(lower, upper, [f"trait {i + 1}" for i in range(len(lower))])
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)

    @classmethod
    def whole(cls, d: int) -> Region:
        """The whole simplex of d weights."""
        return cls(np.zeros(d), np.ones(d))

    @classmethod
    def from_mappings(
        cls, lower: Mapping[str, float], upper: Mapping[str, float], traits: Sequence[str]
    ) -> Region:
        """Bounds by trait name; a trait that isn't named is unbounded.

        Args:
            lower: least weight by trait.
            upper: largest weight by trait.
            traits: names of the d traits.

        Raises:
            InvalidInputError: an unknown trait, or bounds that leave no room.
        """
        unknown = [t for t in [*lower, *upper] if t not in traits]
        if unknown:
            raise InvalidInputError(
                f"unknown trait {unknown[0]!r} in a bound; the traits are {', '.join(traits)}"
            )
        least = np.array([lower.get(t, 0.0) for t in traits])
        most = np.array([upper.get(t, 1.0) for t in traits])
        if np.isfinite(least).all() and np.isfinite(most).all():
            _require_room(*_narrowed(least, most), [repr(t) for t in traits])
        return cls(least, most)

    @classmethod
    def from_bounds(cls, where: Mapping[str, tuple[float, float]], traits: Sequence[str]) -> Region:
        """Bounds `{trait: (least, most)}`; a trait that isn't named is unbounded.

        Args:
            where: the bounds.
            traits: names of the d traits.

        Raises:
            InvalidInputError: an unknown trait, or bounds that leave no room.
        """
        lower = {trait: low for trait, (low, _) in where.items()}
        upper = {trait: high for trait, (_, high) in where.items()}
        return cls.from_mappings(lower, upper, traits)

    @property
    def d(self) -> int:
        """Number of traits."""
        return len(self.lower)

    @property
    def is_whole(self) -> bool:
        """Whether no bound cuts anything off."""
        return bool((self.lower <= 0).all() and (self.upper >= 1).all())

    def corners(self) -> Floats:
        """Its vertices, shape (m, d): all but one weight at a bound."""
        if self.is_whole:
            return np.eye(self.d)
        found = []
        for free in range(self.d):
            others = [i for i in range(self.d) if i != free]
            for picked in product(*((self.lower[i], self.upper[i]) for i in others)):
                w = np.zeros(self.d)
                w[others] = picked
                w[free] = 1 - sum(picked)
                if self.lower[free] - 1e-12 <= w[free] <= self.upper[free] + 1e-12:
                    found.append(np.clip(w, self.lower, self.upper))
        rows = np.array(found)
        return rows[np.sort(np.unique(np.round(rows, 12), axis=0, return_index=True)[1])]

    def centre(self) -> Floats:
        """A point well inside, shape (d,)."""
        return np.asarray(self.corners().mean(axis=0))

    def contains(self, weights: Floats, tolerance: float = 1e-9) -> NDArray[np.bool_]:
        """Which weights lie inside.

        Args:
            weights: shape (m, d) or (d,).
            tolerance: how far outside still counts as inside.

        Returns:
            Shape (m,).
        """
        w = np.atleast_2d(weights)
        return np.asarray(
            ((w >= self.lower - tolerance) & (w <= self.upper + tolerance)).all(axis=1)
        )

    def sample(self, count: int, rng: np.random.Generator) -> Floats:
        """Weights drawn uniformly by volume.

        Args:
            count: how many.
            rng: source of randomness.

        Returns:
            Shape (count, d).
        """
        room = 1 - self.lower.sum()
        if (self.upper >= self.lower + room - 1e-12).all():  # a smaller copy of the simplex
            return np.asarray(self.lower + room * sample_uniform(self.d, count, rng))
        kept = np.empty((0, self.d))
        for tried in range(1, MOST_TRIES + 1):
            drawn = self.lower + room * sample_uniform(self.d, max(count, 1000), rng)
            kept = np.vstack([kept, drawn[(drawn <= self.upper).all(axis=1)]])
            if len(kept) >= count:
                return np.asarray(kept[:count])
            if tried >= FEW_TRIES and len(kept) < count * tried / MOST_TRIES:
                break
        return self._sample_cells(count, rng)

    def _sample_cells(self, count: int, rng: np.random.Generator) -> Floats:
        """As `sample`, by cutting the region into simplices: where rejection rarely hits."""
        from scipy.spatial import Delaunay

        corners = self.corners()
        # A simplex, such as three upper bounds of .4 leave, is one cell: too few points for Qhull.
        one = np.arange(self.d, dtype=np.int32)[None]
        cells = (
            one
            if len(corners) == self.d
            else Delaunay(corners[:, :-1], qhull_options="QJ Pp").simplices
        )
        edges = corners[cells][:, 1:, :-1] - corners[cells][:, :1, :-1]
        volume = np.abs(np.linalg.det(edges))
        cell = rng.choice(len(cells), size=count, p=volume / volume.sum())
        mix = rng.dirichlet(np.ones(self.d), size=count)
        return np.asarray(np.einsum("mc,mcd->md", mix, corners[cells[cell]]))


def _narrowed(lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
    """What the bounds leave of each weight, given that weights sum to 1."""
    lower = np.maximum(lower, 0.0)
    upper = np.minimum(upper, 1.0)
    upper = np.minimum(upper, 1 - (lower.sum() - lower))
    return np.maximum(lower, 1 - (upper.sum() - upper)), upper


def _require_room(lower: Floats, upper: Floats, names: Sequence[str]) -> None:
    if (upper - lower).min() < LEAST_WIDTH:
        i = int(np.argmin(upper - lower))
        raise InvalidInputError(
            f"the bounds leave no room for the weight of {names[i]}: between {lower[i]:.6g} and"
            f" {upper[i]:.6g}; widen them (for a fixed weight of .3 take .2999 to .3001, say)"
        )
