"""Confidence bounds for worst gaps whose rewards were estimated from finitely many prompts.

Split sample: the portfolio is chosen on `choose` prompts and certified on others, opened once. Whole prompts
are resampled (answers of a prompt are averaged first), and the percentile bootstrap of the *exact* worst gap
gives a one-sided bound (Efron and Tibshirani 1993, chapter 13, doi:10.1201/9780429246593).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_gap

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bound:
    """A point estimate with a one-sided percentile bound at `confidence`, from `prompts` prompts.

    `upper` bounds from above and `lower` from below, each at that confidence by itself.
    """

    estimate: float
    lower: float
    upper: float
    confidence: float
    prompts: int
    resamples: int


def resampled_means(scores: Floats, resamples: int, seed: int) -> Floats:
    """Bootstrap means over prompts: scores (prompts, policies, d) to (resamples, policies, d)."""
    if scores.ndim != 3 or len(scores) < 2:
        raise InvalidInputError(f"scores must have shape (prompts >= 2, policies, traits), got {scores.shape}")
    n = len(scores)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return np.asarray((counts @ scores.reshape(n, -1) / n).reshape(resamples, *scores.shape[1:]))


def worst_gap_bound(
    scores: Floats, members: list[int], confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Bound:
    """Bound on the exact additive worst gap of `members` against all policies.

    `scores`: (prompts, policies, d), averaged over a prompt's answers; prompts not used to choose the members.
    """
    estimate = worst_gap(scores.mean(axis=0)[members], scores.mean(axis=0)).additive
    draws = [
        worst_gap(mean[members], mean).additive for mean in resampled_means(scores, resamples, seed)
    ]  # fmt: skip
    return _bound(estimate, np.array(draws), confidence, len(scores))


def gap_difference_bound(
    scores: Floats, first: list[int], second: list[int], confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Bound:
    """Paired bound on worst gap(first) - worst gap(second), both on the same resampled prompts."""
    mean = scores.mean(axis=0)
    estimate = worst_gap(mean[first], mean).additive - worst_gap(mean[second], mean).additive
    draws = [
        worst_gap(m[first], m).additive - worst_gap(m[second], m).additive
        for m in resampled_means(scores, resamples, seed)
    ]
    return _bound(estimate, np.array(draws), confidence, len(scores))


def mean_bound(differences: Floats, confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> Bound:
    """Bound on the mean of paired per-prompt differences, shape (prompts,)."""
    draws = resampled_means(differences[:, None, None], resamples, seed)[:, 0, 0]
    return _bound(float(differences.mean()), draws, confidence, len(differences))


def _bound(estimate: float, draws: Floats, confidence: float, prompts: int) -> Bound:
    lower, upper = np.quantile(draws, [1 - confidence, confidence])
    return Bound(float(estimate), float(lower), float(upper), confidence, prompts, len(draws))
