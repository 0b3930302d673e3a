"""Confidence bounds for worst gaps whose rewards were estimated from finitely many prompts.

Split sample: the portfolio is chosen on `choose` prompts and certified on others, opened once.
Whole prompts are resampled (answers of a prompt are averaged first), and the percentile bootstrap
of the *exact* worst gap gives a one-sided bound (Efron and Tibshirani 1993, chapter 13,
doi:10.1201/9780429246593).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_additive_gap, worst_multiplicative_gap
from palm_engine.geometry.region import Region

# Of prompts and resamples at once.
MOST_COUNTS = 20_000_000


@dataclass(frozen=True)
class Bound:
    """A point estimate with a one-sided percentile bound on either side.

    Attributes:
        estimate: from all prompts.
        lower: bounds from below, at `confidence` by itself.
        upper: bounds from above, at `confidence` by itself.
        confidence: of each side, between 0 and 1.
        prompts: how many prompts it rests on.
        resamples: bootstrap samples.
    """

    # How pydantic validates it where a file holds it.
    __pydantic_config__: ClassVar[dict[str, object]] = {
        "extra": "forbid",
        "allow_inf_nan": False,
    }

    estimate: float
    lower: float
    upper: float
    confidence: float
    prompts: int
    resamples: int


def resampled_means(scores: Floats, resamples: int, seed: int) -> Floats:
    """Bootstrap means over prompts.

    Args:
        scores: shape (prompts >= 2, policies, d).
        resamples: how many bootstrap samples.
        seed: of the resampling.

    Returns:
        Means of shape (resamples, policies, d).

    Raises:
        InvalidInputError: `scores` has another shape.
    """
    if scores.ndim != 3 or len(scores) < 2:
        raise InvalidInputError(
            f"scores must have shape (prompts >= 2, policies, traits), got {scores.shape}"
        )
    n = len(scores)
    rng = np.random.default_rng(seed)
    flat = scores.reshape(n, -1)
    # A few at a time, so that a million prompts need no table of all counts.
    step = max(1, MOST_COUNTS // n)
    parts = [
        rng.multinomial(n, np.full(n, 1 / n), size=min(step, resamples - start)) @ flat / n
        for start in range(0, resamples, step)
    ]
    return np.asarray(np.concatenate(parts).reshape(resamples, *scores.shape[1:]))


def worst_gap_bound(
    scores: Floats,
    members: list[int],
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    region: Region | None = None,
) -> Bound:
    """Bound on the exact additive worst gap of a portfolio against all policies.

    Args:
        scores: shape (prompts, policies, d), averaged over a prompt's answers, KL costs taken off
            where the value counts them; of prompts that were not used to choose the members.
        members: rows of the policies that are members.
        confidence: of each side, between 0 and 1.
        resamples: bootstrap samples of whole prompts.
        seed: of the resampling.
        region: the weights that count; None is the whole simplex.

    Raises:
        InvalidInputError: `scores` has another shape.
    """
    mean = scores.mean(axis=0)
    draws = [
        worst_additive_gap(m[members], m, region) for m in resampled_means(scores, resamples, seed)
    ]
    return _bound(
        worst_additive_gap(mean[members], mean, region), np.array(draws), confidence, len(scores)
    )


def simultaneous_bounds(
    scores: Floats,
    portfolios: list[list[int]],
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    multiplicative: bool = False,
    report: Callable[[float], None] = lambda share: None,
) -> list[Bound]:
    """Bounds that hold for several portfolios at once (max-t), each side by itself.

    For a portfolio that somebody picks by looking at these figures.

    Args:
        scores: shape (prompts, policies, d), as for `worst_gap_bound`.
        portfolios: rows of the members of each.
        confidence: of each side for all portfolios together, between 0 and 1.
        resamples: bootstrap samples of whole prompts.
        seed: of the resampling.
        multiplicative: bound multiplicative worst gaps, else additive ones.
        report: gets the share done.

    Raises:
        InvalidInputError: `scores` has another shape.
        UndefinedGapError: a multiplicative gap that is not defined in some resample.
    """
    mean = scores.mean(axis=0)
    gap = worst_multiplicative_gap if multiplicative else worst_additive_gap
    estimates = np.array([gap(mean[p], mean) for p in portfolios])
    drawn = []
    for i, m in enumerate(resampled_means(scores, resamples, seed)):
        drawn.append([gap(m[p], m) for p in portfolios])
        if i % 25 == 0:
            report(i / resamples)
    draws = np.array(drawn)
    spread = draws.std(axis=0, ddof=1)
    # A portfolio of all policies has gap 0 in every resample: its bound is 0 too.
    deviation = np.where(spread > 1e-12, (draws - estimates) / np.maximum(spread, 1e-12), 0.0)
    above = max(float(np.quantile(deviation.max(axis=1), confidence)), 0.0)
    below = max(float(np.quantile((-deviation).max(axis=1), confidence)), 0.0)
    return [
        Bound(
            float(e),
            max(float(e - below * s), 0.0),
            float(e + above * s),
            confidence,
            len(scores),
            resamples,
        )
        for e, s in zip(estimates, spread, strict=True)
    ]


def gap_difference_bound(
    scores: Floats,
    first: list[int],
    second: list[int],
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Bound:
    """Paired bound on the worst gap of one portfolio minus that of another.

    Args:
        scores: shape (prompts, policies, d), as for `worst_gap_bound`.
        first: rows of the one.
        second: rows of the other; both are measured on the same resampled prompts.
        confidence: of each side, between 0 and 1.
        resamples: bootstrap samples of whole prompts.
        seed: of the resampling.

    Raises:
        InvalidInputError: `scores` has another shape.
    """
    mean = scores.mean(axis=0)

    def difference(m: Floats) -> float:
        return worst_additive_gap(m[first], m) - worst_additive_gap(m[second], m)

    draws = [difference(m) for m in resampled_means(scores, resamples, seed)]
    return _bound(difference(mean), np.array(draws), confidence, len(scores))


def mean_bound(
    differences: Floats, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Bound:
    """Bound on the mean of paired differences.

    Args:
        differences: one per prompt, shape (prompts >= 2,).
        confidence: of each side, between 0 and 1.
        resamples: bootstrap samples.
        seed: of the resampling.

    Raises:
        InvalidInputError: fewer than two prompts.
    """
    draws = resampled_means(differences[:, None, None], resamples, seed)[:, 0, 0]
    return _bound(float(differences.mean()), draws, confidence, len(differences))


def _bound(estimate: float, draws: Floats, confidence: float, prompts: int) -> Bound:
    lower, upper = np.quantile(draws, [1 - confidence, confidence])
    return Bound(float(estimate), float(lower), float(upper), confidence, prompts, len(draws))
