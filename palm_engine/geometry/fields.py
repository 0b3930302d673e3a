"""Fields over the simplex: gap and picked member at given weights, coverage and each member's
region.
"""

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


@dataclass(frozen=True)
class GapField:
    """Values at m weights: `best` V_Q, `value` V_P, additive `gap`, and index of the picked
    `member`, all (m,).
    """

    weights: Floats
    best: Floats
    value: Floats
    gap: Floats
    member: NDArray[np.intp]


@dataclass(frozen=True)
class Coverage:
    """Share of the simplex (by volume) whose gap is at most `threshold`, estimated on `count`
    weights.
    """

    threshold: float
    share: float
    standard_error: float
    count: int


def gap_field(portfolio: ArrayLike, candidates: ArrayLike, weights: ArrayLike) -> GapField:
    """Evaluate portfolio (k, d) against candidates (n, d) at `weights` (m, d)."""
    p = as_points(portfolio)
    q = as_points(candidates, p.shape[1])
    w = np.atleast_2d(as_weights(weights, p.shape[1]))
    best, value = upper_envelope(q, w), upper_envelope(p, w)
    return GapField(w, best, value, best - value, best_policy(p, w))


def coverage(
    portfolio: ArrayLike,
    candidates: ArrayLike,
    threshold: float,
    count: int = 20_000,
    seed: int = 0,
    region: Region | None = None,
    multiplicative: bool = False,
) -> Coverage:
    """Share of `region` with additive gap <= `threshold`, from uniformly drawn weights (standard
    error given).

    With `multiplicative` the gap is a share of the best value; weights where the best value is not
    positive never count as covered.
    """
    field = gap_field(portfolio, candidates, _draw(as_points(portfolio), count, seed, region))
    if multiplicative:
        within = (field.best > 0) & (field.gap <= (threshold + 1e-12) * field.best)
    else:
        within = field.gap <= threshold + 1e-12
    share = float(within.mean())
    return Coverage(threshold, share, float(np.sqrt(share * (1 - share) / count)), count)


@dataclass(frozen=True)
class Usage:
    """How a population of users spreads over the members.

    `shares` (k,) sum to 1; `entropy` in nats; `perplexity` = exp(entropy), the effective number of
    members used (1 to k); `mean_gap` is the average additive loss.
    """

    shares: Floats
    entropy: float
    perplexity: float
    mean_gap: float


def usage(portfolio: ArrayLike, candidates: ArrayLike, weights: ArrayLike) -> Usage:
    """Usage of `portfolio` (k, d) by users with `weights` (m, d).

    Drawn (see `population`), or a table of real ones.
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
    """`count` users' weights, shape (count, d), drawn from Dirichlet(`concentration`).

    None is uniform.

    Raises InvalidInputError for a concentration that isn't positive or has another length.
    """
    alpha = np.broadcast_to(
        np.asarray(1.0 if concentration is None else concentration, dtype=float), (d,)
    )
    if not (np.isfinite(alpha) & (alpha > 0)).all():
        raise InvalidInputError(f"Dirichlet concentrations must be positive, got {alpha.tolist()}")
    return np.random.default_rng(seed).dirichlet(alpha, size=count)


def region_shares(
    portfolio: ArrayLike, count: int = 20_000, seed: int = 0, region: Region | None = None
) -> Floats:
    """Share of `region` where each member is picked, shape (k,), from uniformly drawn weights.

    Sums to 1.
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
