"""Fields over the simplex: gap and picked member at given weights, coverage and each member's region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_engine.geometry.envelope import best_policy, upper_envelope
from palm_engine.geometry.policies import as_points
from palm_engine.geometry.simplex import as_weights, sample_uniform

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GapField:
    """Values at m weights: `best` V_Q, `value` V_P, additive `gap`, and index of the picked `member`, all (m,)."""

    weights: Floats
    best: Floats
    value: Floats
    gap: Floats
    member: NDArray[np.intp]


@dataclass(frozen=True)
class Coverage:
    """Share of the simplex (by volume) whose additive gap is at most `threshold`, estimated on `count` weights."""

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
    portfolio: ArrayLike, candidates: ArrayLike, threshold: float, count: int = 20_000, seed: int = 0
) -> Coverage:
    """Share of uniformly drawn weights with additive gap <= `threshold`. Scope: sampled (standard error given)."""
    d = as_points(portfolio).shape[1]
    field = gap_field(portfolio, candidates, sample_uniform(d, count, np.random.default_rng(seed)))
    share = float((field.gap <= threshold + 1e-12).mean())
    return Coverage(threshold, share, float(np.sqrt(share * (1 - share) / count)), count)


def region_shares(portfolio: ArrayLike, count: int = 20_000, seed: int = 0) -> Floats:
    """Share of the simplex where each member is picked, shape (k,), from uniformly drawn weights; sums to 1."""
    p = as_points(portfolio)
    weights = sample_uniform(p.shape[1], count, np.random.default_rng(seed))
    return np.bincount(best_policy(p, weights), minlength=len(p)) / count
