"""Fields over the simplex: gap and picked member, coverage, usage, each member's region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.envelope import best_policy, upper_envelope
from palm_engine.geometry.policies import as_points
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import as_weights

# Of gaps beside tolerances.
ROUNDING = 1e-12


@dataclass(frozen=True)
class GapField:
    """A portfolio at m weights.

    Attributes:
        weights: shape (m, d).
        best: the best candidate's value V_Q, (m,).
        value: the picked member's value V_P, (m,).
        gap: additive gap, (m,).
        member: index of the picked member in the portfolio, (m,).
    """

    weights: Floats
    best: Floats
    value: Floats
    gap: Floats
    member: NDArray[np.intp]


@dataclass(frozen=True)
class Coverage:
    """The share of weights whose gap is at most a threshold, estimated from drawn weights.

    Attributes:
        threshold: the gap that counts as served.
        share: between 0 and 1.
        standard_error: of the share.
        count: how many weights were drawn.
    """

    threshold: float
    share: float
    standard_error: float
    count: int


def gap_field(portfolio: ArrayLike, candidates: ArrayLike, weights: ArrayLike) -> GapField:
    """A portfolio against the candidates at given weights.

    Args:
        portfolio: members, shape (k, d).
        candidates: shape (n, d).
        weights: shape (m, d), rows summing to 1.

    Raises:
        InvalidInputError: shapes don't fit, or a row of `weights` is not in the simplex.
    """
    p = as_points(portfolio)
    q = as_points(candidates, p.shape[1])
    w = np.atleast_2d(as_weights(weights, p.shape[1]))
    best = upper_envelope(q, w)
    value = upper_envelope(p, w)
    return GapField(w, best, value, best - value, best_policy(p, w))


def is_within(gaps: Floats, tolerance: float) -> NDArray[np.bool_]:
    """Which gaps are at most a tolerance: the one rule for whoever counts as served.

    Args:
        gaps: shape (m,).
        tolerance: likewise additive or multiplicative.
    """
    found: NDArray[np.bool_] = gaps <= tolerance + ROUNDING
    return found


def coverage(
    portfolio: ArrayLike,
    candidates: ArrayLike,
    threshold: float,
    count: int = 20_000,
    seed: int = 0,
    region: Region | None = None,
    multiplicative: bool = False,
) -> Coverage:
    """The share of the weights, by volume, whose gap is at most a threshold.

    Args:
        portfolio: members, shape (k, d).
        candidates: shape (n, d).
        threshold: in reward units, or as a share of the best value.
        count: how many weights are drawn uniformly.
        seed: of the draw.
        region: the weights that count; None is the whole simplex.
        multiplicative: the gap is a share of the best value; weights where that is not positive
            never count as covered.

    Raises:
        InvalidInputError: shapes don't fit.
    """
    field = gap_field(portfolio, candidates, _draw(as_points(portfolio), count, seed, region))
    if multiplicative:
        served = (field.best > 0) & (field.gap <= (threshold + ROUNDING) * field.best)
    else:
        served = is_within(field.gap, threshold)
    share = float(served.mean())
    return Coverage(threshold, share, float(np.sqrt(share * (1 - share) / count)), count)


@dataclass(frozen=True)
class Usage:
    """How a population of users spreads over the members.

    Attributes:
        shares: share of the users who get each member, (k,), summing to 1.
        entropy: of the shares, in nats.
        perplexity: exp(entropy), the effective number of members in use, 1 to k.
        mean_gap: average additive loss.
    """

    shares: Floats
    entropy: float
    perplexity: float
    mean_gap: float


def usage(portfolio: ArrayLike, candidates: ArrayLike, weights: ArrayLike) -> Usage:
    """How users spread over the members of a portfolio.

    Args:
        portfolio: members, shape (k, d).
        candidates: shape (n, d).
        weights: of the users, shape (m, d): drawn (see `population`), or a table of real ones.

    Raises:
        InvalidInputError: shapes don't fit, or a row of `weights` is not in the simplex.
    """
    p = as_points(portfolio)
    field = gap_field(p, candidates, weights)
    shares = np.bincount(field.member, minlength=len(p)) / len(field.member)
    used = shares[shares > 0]
    entropy = float(-(used * np.log(used)).sum())
    return Usage(shares, entropy, float(np.exp(entropy)), float(np.maximum(field.gap, 0).mean()))


def population(
    d: int, count: int = 20_000, concentration: ArrayLike | None = None, seed: int = 0
) -> Floats:
    """Weights of users drawn from a Dirichlet distribution.

    Args:
        d: number of traits.
        count: number of users.
        concentration: one positive number, or one per trait; None is uniform.
        seed: of the draw.

    Returns:
        Shape (count, d), rows summing to 1.

    Raises:
        InvalidInputError: a concentration that is not positive.
    """
    alpha = np.broadcast_to(
        np.asarray(1.0 if concentration is None else concentration, dtype=float), (d,)
    )
    if not (np.isfinite(alpha) & (alpha > 0)).all():
        raise InvalidInputError(f"Dirichlet concentrations must be positive, got {alpha.tolist()}")
    return np.random.default_rng(seed).dirichlet(alpha, size=count)


def users_of(d: int, region: Region | None = None, count: int = 20_000, seed: int = 0) -> Floats:
    """Weights of users drawn uniformly from the weights that count.

    Args:
        d: number of traits.
        region: the weights that count; None is the whole simplex.
        count: number of users.
        seed: of the draw.

    Returns:
        Shape (count, d), rows summing to 1.
    """
    if region is None:
        return population(d, count, seed=seed)
    return region.sample(count, np.random.default_rng(seed))


def region_shares(
    portfolio: ArrayLike, count: int = 20_000, seed: int = 0, region: Region | None = None
) -> Floats:
    """The share of the weights where each member is picked.

    Args:
        portfolio: members, shape (k, d).
        count: how many weights are drawn uniformly.
        seed: of the draw.
        region: the weights that count; None is the whole simplex.

    Returns:
        Shape (k,), summing to 1.
    """
    p = as_points(portfolio)
    return np.bincount(best_policy(p, _draw(p, count, seed, region)), minlength=len(p)) / count


def region_centres(
    portfolio: ArrayLike, region: Region | None = None, count: int = 20_000, seed: int = 0
) -> list[Floats | None]:
    """The weights that each member stands for: the middle of the weights where it is picked.

    Args:
        portfolio: points of the members, shape (k, d).
        region: the weights that count; None is the whole simplex.
        count: how many weights are drawn uniformly.
        seed: of the draw.

    Returns:
        Per member weights of shape (d,), or None where it is never picked.
    """
    p = as_points(portfolio)
    drawn = _draw(p, count, seed, region)
    picked = best_policy(p, drawn)
    return [drawn[picked == i].mean(axis=0) if (picked == i).any() else None for i in range(len(p))]


def _draw(points: Floats, count: int, seed: int, region: Region | None) -> Floats:
    return (region or Region.whole(points.shape[1])).sample(count, np.random.default_rng(seed))
