"""Grids of weights with a promise: one policy per weight is an (eps, delta)-portfolio.

Whatever the policies are, for rewards in [0, 1] without a KL cost. `palm_grid` rounds every weight
down to a power of 1-eps (reconstructed after PALM, arXiv 2604.04144; its size, cut-off and bound
are ours). `thin_grid` keeps about one of d of its weights (ours, proved in docs/guarantees.md).
"""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError

MOST_WEIGHTS = 1_000_000


def grid_size(d: int, eps: float, delta: float) -> int:
    """Number of grid weights: `(K+2)^d - (K+1)^d`, `K = ceil(ln((d-1)/delta) / -ln(1-eps))`.

    Args:
        d: number of traits.
        eps: of the grid, in (0, 1).
        delta: of the grid, in (0, 1).

    Raises:
        InvalidInputError: eps or delta out of range.
    """
    steps = max(0, math.ceil(_levels(d, eps, delta)))
    return int((steps + 2) ** d - (steps + 1) ** d)


def palm_grid(d: int, eps: float, delta: float) -> Floats:
    """The grid: before rescaling the largest weight is 1, each other one 0 or a power of 1-eps.

    Args:
        d: number of traits.
        eps: of the grid, in (0, 1).
        delta: of the grid, in (0, 1).

    Returns:
        Shape (grid_size, d), rows summing to 1.

    Raises:
        InvalidInputError: eps or delta out of range, or more weights than MOST_WEIGHTS.
    """
    _require_size(grid_size(d, eps, delta))
    steps = max(0, math.ceil(_levels(d, eps, delta)))
    levels = np.concatenate([[1.0], (1 - eps) ** np.arange(1, steps + 1), [0.0]])
    rows = np.array([row for row in product(levels, repeat=d) if max(row) == 1.0])
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def thin_grid_size(d: int, eps: float, delta: float) -> int:
    """Number of weights of the thin grid.

    Args:
        d: number of traits.
        eps: of the grid, in (0, 1).
        delta: of the grid, in (0, 1).

    Raises:
        InvalidInputError: eps or delta out of range.
    """
    most = _most_exponent(d, eps, delta)
    return sum(
        math.comb(d, s) * (_multiples(s, 0, most) - _multiples(s, 1, most)) for s in range(1, d + 1)
    )


def thin_grid(d: int, eps: float, delta: float) -> Floats:
    """The thin grid: exponents of 1-eps whose least is 0 and whose sum the support's size divides.

    Args:
        d: number of traits.
        eps: of the grid, in (0, 1).
        delta: of the grid, in (0, 1).

    Returns:
        Shape (thin_grid_size, d), rows summing to 1.

    Raises:
        InvalidInputError: eps or delta out of range, or more weights than MOST_WEIGHTS.
    """
    _require_size(thin_grid_size(d, eps, delta))
    most = _most_exponent(d, eps, delta)
    rows = []
    for size in range(1, d + 1):
        kept = _exponents(size, most)
        for support in combinations(range(d), size):
            weights = np.zeros((len(kept), d))
            weights[:, support] = (1 - eps) ** kept
            rows.append(weights)
    whole = np.vstack(rows)
    return np.asarray(whole / whole.sum(axis=1, keepdims=True))


def size_upper_bound(d: int, eps: float, delta: float) -> int:
    """How many members an (eps, delta)-portfolio needs at most, whatever the policies are.

    One policy per weight of the thin grid is enough (ours, proved), for rewards in [0, 1] without a
    KL cost. What is needed is far less.

    Args:
        d: number of traits.
        eps: multiplicative tolerance, in (0, 1).
        delta: additive tolerance, in (0, 1).

    Raises:
        InvalidInputError: eps or delta out of range.
    """
    return thin_grid_size(d, eps, delta)


def promised_size(d: int, gap: float, least: float | None = None) -> int:
    """How many members the grid needs at most for a worst gap, whatever the policies are.

    An (eps, delta)-portfolio has a gap of at most eps + delta, so the best split of `gap` is taken.
    For rewards in [0, 1] without a KL cost.

    Args:
        d: number of traits.
        gap: additive worst gap, in (0, 1); multiplicative with `least`.
        least: a number above 0 that the best value is nowhere below; a tolerance delta is then a
            share of at most delta / `least`.

    Raises:
        InvalidInputError: `gap` is not in (0, 1).
    """
    if not 0 < gap < 1:
        raise InvalidInputError(f"a worst gap in (0, 1) is needed, got {gap}")
    scale = 1.0 if least is None else min(least, 1.0)
    return min(
        size_upper_bound(d, gap * share, scale * gap * (1 - share))
        for share in np.linspace(0.05, 0.95, 37)
    )


def _levels(d: int, eps: float, delta: float) -> float:
    """How many powers of 1-eps there are down to delta/(d-1).

    Raises:
        InvalidInputError: eps or delta out of range.
    """
    if not (0 < eps < 1 and 0 < delta < 1):
        raise InvalidInputError(
            f"a grid of weights needs 0 < eps < 1 and 0 < delta < 1, got {eps} and {delta}"
        )
    return math.log((d - 1) / delta) / -math.log(1 - eps)


def _most_exponent(d: int, eps: float, delta: float) -> int:
    """Of the thin grid, whose cut-off is delta/((d-1)(1-eps)); rounding up adds one at most."""
    return max(0, math.floor(_levels(d, eps, delta) + 1e-9))


def _exponents(size: int, most: int) -> NDArray[np.int32]:
    """All vectors of `size` exponents up to `most` with minimum 0 and a sum that `size` divides."""
    if size == 1:
        return np.zeros((1, 1), dtype=np.int32)
    faces = []
    axes = np.meshgrid(*[np.arange(most + 1, dtype=np.int32)] * (size - 1), indexing="ij")
    others = np.stack([a.ravel() for a in axes], axis=1)
    others = others[others.sum(axis=1) % size == 0]
    for zero in range(size):
        # Those whose first zero it is.
        own = others[(others[:, :zero] > 0).all(axis=1)]
        faces.append(np.insert(own, zero, 0, axis=1))
    return np.vstack(faces)


def _multiples(size: int, least: int, most: int) -> int:
    """How many vectors of `size` exponents in [least, most] have a sum that `size` divides."""
    counts = [1] + [0] * (size - 1)
    for _ in range(size):
        after = [0] * size
        for residue, count in enumerate(counts):
            for exponent in range(least, most + 1):
                after[(residue + exponent) % size] += count
        counts = after
    return counts[0]


def _require_size(size: int) -> None:
    if size > MOST_WEIGHTS:
        raise InvalidInputError(
            f"the grid would have {size:,} weights (limit {MOST_WEIGHTS:,}); raise the grid's eps"
            " or delta (--grid-eps, --grid-delta)"
        )
