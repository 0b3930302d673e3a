"""Points of the simplex: validation, grids, uniform samples, designs of the baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError

TOLERANCE = 1e-9
# Of a row's sum: files hold weights with six places, and there may be many of them.
ROUNDING = 1e-5


def as_weights(w: ArrayLike, d: int | None = None) -> Floats:
    """Check weights; rows within ROUNDING of sum 1 are rescaled exactly.

    Args:
        w: shape (d,) or (m, d): finite, non-negative, rows summing to 1.
        d: the number of traits that is needed, or None.

    Returns:
        The weights, in the same shape.

    Raises:
        InvalidInputError: names the row that is not in the simplex, or the shape.
    """
    array = np.asarray(w, dtype=float)
    if array.ndim not in (1, 2) or (d is not None and array.shape[-1] != d):
        raise InvalidInputError(f"weights must have shape (m, {d or 'd'}), got {array.shape}")
    rows = np.atleast_2d(array)
    wrong = (
        ~np.isfinite(rows).all(axis=1)
        | (rows < -TOLERANCE).any(axis=1)
        | (np.abs(rows.sum(axis=1) - 1) > ROUNDING)
    )
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InvalidInputError(
            f"weights row {i}: {np.round(rows[i], 6).tolist()} must be non-negative and sum to 1; "
            "use normalise() for raw slider values"
        )
    clean = np.clip(rows, 0.0, None)
    clean = clean / clean.sum(axis=1, keepdims=True)
    return np.asarray(clean if array.ndim == 2 else clean[0])


def normalise(raw: ArrayLike) -> Floats:
    """Effective weights of raw slider values; all zero means no preference: equal weights.

    Args:
        raw: non-negative numbers, shape (d,).

    Returns:
        Shape (d,), summing to 1.

    Raises:
        InvalidInputError: a negative number, or one that is not finite.
    """
    values = np.asarray(raw, dtype=float)
    if not np.isfinite(values).all() or values.min(initial=0.0) < 0:
        raise InvalidInputError(
            f"slider values must be finite and non-negative, got {values.tolist()}"
        )
    total = values.sum()
    return values / total if total > 0 else np.full(len(values), 1.0 / len(values))


def weights_of(given: Mapping[str, float] | ArrayLike, traits: Sequence[str]) -> Floats:
    """Effective weights (d,) of what a user gives: by trait, or numbers in the order of `traits`.

    Args:
        given: non-negative numbers, one of them above 0; traits that a mapping leaves out count 0.
        traits: names of the d traits.

    Raises:
        InvalidInputError: an unknown trait, another length, a negative number, or all zero.
    """
    if isinstance(given, Mapping):
        unknown = [t for t in given if t not in traits]
        if unknown:
            raise InvalidInputError(
                f"{unknown[0]!r} isn't a trait; the traits are {', '.join(traits)}"
            )
        given = [given.get(t, 0.0) for t in traits]
    w = np.asarray(given, dtype=float)
    if w.shape != (len(traits),) or not np.isfinite(w).all() or (w < 0).any() or w.sum() <= 0:
        raise InvalidInputError(
            f"weights {w.ravel().tolist()}: one number >= 0 for each of {', '.join(traits)} is "
            "needed, one of them above 0"
        )
    return np.asarray(w / w.sum())


def grid(d: int, resolution: int) -> Floats:
    """All weights that are multiples of 1/resolution, corners included.

    Args:
        d: number of traits.
        resolution: steps along an edge.

    Returns:
        Shape (C(resolution+d-1, d-1), d).

    Raises:
        InvalidInputError: fewer than one step or trait.
    """
    if d < 2 or resolution < 1:
        raise InvalidInputError(f"grid needs d >= 2 and resolution >= 1, got {d} and {resolution}")
    bars = np.array(list(combinations(range(resolution + d - 1), d - 1)), dtype=float).reshape(
        -1, d - 1
    )
    edges = np.hstack(
        [np.full((len(bars), 1), -1.0), bars, np.full((len(bars), 1), resolution + d - 1.0)]
    )
    return (np.diff(edges, axis=1) - 1) / resolution


def lattice_steps(d: int, most: int) -> int:
    """Steps along an edge of the finest lattice of at most `most` weights (of d), at least 1."""
    steps = 1
    while math.comb(steps + d, d - 1) <= most:
        steps += 1
    return steps


def sample_uniform(d: int, count: int, rng: np.random.Generator) -> Floats:
    """Weights drawn uniformly over the simplex by volume.

    Args:
        d: number of traits.
        count: how many.
        rng: source of randomness.

    Returns:
        Shape (count, d).
    """
    return rng.dirichlet(np.ones(d), size=count)


def uniform_design(d: int, k: int, resolution: int = 50) -> Floats:
    """Well-spread grid weights: the corners, the centre, then repeatedly the farthest point.

    What somebody without a plan would train: the `uniform` baseline. Deterministic. The greedy
    farthest-point design is that of Gonzalez (1985, doi:10.1016/0304-3975(85)90224-5).

    Args:
        d: number of traits.
        k: how many weights.
        resolution: steps along an edge of the grid.

    Returns:
        Shape (k, d).
    """
    points = grid(d, resolution)
    start = np.vstack([np.eye(d), np.full((1, d), 1.0 / d)])
    chosen = [points[int(np.argmin(((points - s) ** 2).sum(1)))] for s in start[:k]]
    while len(chosen) < k:
        distance = ((points[:, None, :] - np.array(chosen)[None]) ** 2).sum(2).min(1)
        # A rounded distance makes ties break the same way on every machine.
        chosen.append(points[int(np.argmax(np.round(distance, 9)))])
    return np.array(chosen)


def random_design(d: int, k: int, seed: int, resolution: int = 50) -> Floats:
    """Distinct grid weights drawn uniformly: the `random` baseline.

    Args:
        d: number of traits.
        k: how many weights.
        seed: of the draw.
        resolution: steps along an edge of the grid.

    Returns:
        Shape (k, d).
    """
    points = grid(d, resolution)
    rng = np.random.default_rng(seed)
    return points[rng.choice(len(points), size=k, replace=False)]


def named_weights(w: ArrayLike, traits: Sequence[str], digits: int = 12) -> dict[str, float]:
    """Weights or rewards by trait, clipped to [0, 1].

    Args:
        w: shape (d,).
        traits: names of the d traits.
        digits: decimals to round to.
    """
    return {
        trait: round(float(min(max(x, 0.0), 1.0)), digits)
        for trait, x in zip(traits, np.asarray(w, dtype=float), strict=True)
    }


def weights_text(weights: Mapping[str, float]) -> str:
    """Weights by trait for people: `safety 0.60, humor 0.40`."""
    return ", ".join(f"{trait} {w:.2f}" for trait, w in weights.items())
