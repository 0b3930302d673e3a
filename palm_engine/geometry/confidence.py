"""Confidence bounds for worst gaps whose rewards were estimated from finitely many prompts.

Split sample: the portfolio is chosen on `choose` prompts and certified on others, opened once.
Whole prompts are weighted anew at random (answers of a prompt are averaged first), and one more
prompt that nobody saw joins them, on which everything is as bad for the members as rewards in
[0, 1] allow: a failure that no certify prompt happens to show is bounded too. For the mean of one
bounded variable this is Gaffke's bound (Gaffke 2005, Mathematical Methods of Statistics 14;
Learned-Miller and Thomas 2019, arXiv 1905.06208, conjecture that it holds for every distribution
and sample size); here it is taken of the *exact* worst gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_additive_gap, worst_multiplicative_gap
from palm_engine.geometry.region import Region

# Of prompts and resamples at once.
MOST_WEIGHTS = 5_000_000


@dataclass(frozen=True)
class Bound:
    """A point estimate with a one-sided bound on either side.

    Attributes:
        estimate: from all prompts.
        lower: bounds from below, at `confidence` by itself.
        upper: bounds from above, at `confidence` by itself.
        confidence: of each side, between 0 and 1.
        prompts: how many prompts it rests on.
        resamples: random weightings of the prompts.
        clusters: how many clusters the prompts are in, each counted as one; None where none are
            named.
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
    clusters: int | None = None

    @property
    def smallest_failure_seen(self) -> float:
        """The rarest failure, as a share of prompts, that so many show at least once.

        With the bound's confidence, if prompts (or clusters of them) are drawn independently.
        """
        return float(1 - (1 - self.confidence) ** (1 / (self.clusters or self.prompts)))


class Resampled(NamedTuple):
    """Means under random weights of the prompts.

    Attributes:
        means: over the prompts that were seen, shape (resamples, policies, d).
        unseen: the weight of the prompt that nobody saw, shape (resamples,); the others' sum to the
            rest.
    """

    means: Floats
    unseen: Floats


def resampled_means(
    scores: Floats, resamples: int, seed: int, clusters: Sequence[object] | None = None
) -> Resampled:
    """Means under weights that are uniform on the simplex of all prompts and one more.

    Args:
        scores: shape (prompts >= 2, policies, d).
        resamples: how many weightings.
        seed: of the weights.
        clusters: of each prompt, where prompts of a cluster resemble each other: they get one
            weight together, and the one that nobody saw is as large as the average cluster.

    Raises:
        InvalidInputError: `scores` has another shape, or there are fewer than two clusters.
    """
    if scores.ndim != 3 or len(scores) < 2:
        raise InvalidInputError(
            f"scores must have shape (prompts >= 2, policies, traits), got {scores.shape}"
        )
    n = len(scores)
    cluster = np.arange(n)
    if clusters is not None:
        if len(clusters) != n:
            raise InvalidInputError(f"{len(clusters)} clusters for {n} prompts; each needs one")
        cluster = np.unique([str(c) for c in clusters], return_inverse=True)[1]
    units = int(cluster.max()) + 1
    if units < 2:
        raise InvalidInputError("a bound needs prompts of at least two clusters")
    rng = np.random.default_rng(seed)
    flat = scores.reshape(n, -1)
    # A few at a time, so that a million prompts need no table of all weights.
    step = max(1, MOST_WEIGHTS // n)
    means = np.empty((resamples, flat.shape[1]))
    unseen = []
    for start in range(0, resamples, step):
        drawn = rng.exponential(size=(min(step, resamples - start), units + 1))
        weights = drawn[:, cluster]
        seen = weights.sum(axis=1)
        one_more = drawn[:, -1] * (n / units)
        np.matmul(weights, flat, out=means[start : start + len(drawn)])
        means[start : start + len(drawn)] /= seen[:, None]
        unseen.append(one_more / (seen + one_more))
    return Resampled(means.reshape(resamples, *scores.shape[1:]), np.concatenate(unseen))


def worst_gap_bound(
    scores: Floats,
    members: list[int],
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    region: Region | None = None,
    clusters: Sequence[object] | None = None,
    span: float = 1.0,
) -> Bound:
    """Bound on the exact additive worst gap of a portfolio against all policies.

    Args:
        scores: shape (prompts, policies, d), averaged over a prompt's answers, KL costs taken off
            where the value counts them; of prompts that were not used to choose the members.
        members: rows of the policies that are members.
        confidence: of each side, between 0 and 1.
        resamples: random weightings of the prompts.
        seed: of the weights.
        region: the weights that count; None is the whole simplex.
        clusters: of each prompt; None: every prompt is one of its own.
        span: the largest gap that a single prompt can have: 1 for rewards in [0, 1], and more by as
            much as costs differ.

    Raises:
        InvalidInputError: `scores` has another shape.
    """
    mean = scores.mean(axis=0)
    means, unseen = resampled_means(scores, resamples, seed, clusters)
    gaps = np.array([worst_additive_gap(m[members], m, region) for m in means])
    return _bound(
        worst_additive_gap(mean[members], mean, region),
        _least(gaps, unseen, span),
        _most(gaps, unseen, span, _all_are_members(scores, members)),
        confidence,
        len(scores),
        clusters,
    )


def simultaneous_bounds(
    scores: Floats,
    portfolios: list[list[int]],
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    multiplicative: bool = False,
    report: Callable[[float], None] = lambda share: None,
    clusters: Sequence[object] | None = None,
    span: float = 1.0,
) -> list[Bound]:
    """Bounds that hold for several portfolios at once (max-t), each side by itself.

    For a portfolio that somebody picks by looking at these figures.

    Args:
        scores: shape (prompts, policies, d), as for `worst_gap_bound`.
        portfolios: rows of the members of each.
        confidence: of each side for all portfolios together, between 0 and 1.
        resamples: random weightings of the prompts.
        seed: of the weights.
        multiplicative: bound multiplicative worst gaps, else additive ones.
        report: gets the share done.
        clusters: as for `worst_gap_bound`.
        span: as for `worst_gap_bound`.

    Raises:
        InvalidInputError: `scores` has another shape.
        UndefinedGapError: a multiplicative gap that is not defined in some resample.
    """
    mean = scores.mean(axis=0)
    gap = worst_multiplicative_gap if multiplicative else worst_additive_gap
    estimates = np.array([gap(mean[p], mean) for p in portfolios])
    means, unseen = resampled_means(scores, resamples, seed, clusters)
    low = np.empty((resamples, len(portfolios)))
    high = np.empty_like(low)
    for i, (m, u) in enumerate(zip(means, unseen, strict=True)):
        for j, p in enumerate(portfolios):
            if multiplicative:
                low[i, j] = gap(*_with_unseen(m, p, u, span, good_to_members=True))
                high[i, j] = gap(*_with_unseen(m, p, u, span, good_to_members=False))
            else:
                low[i, j] = high[i, j] = gap(m[p], m)
        if i % 25 == 0:
            report(i / resamples)
    if not multiplicative:
        for j, p in enumerate(portfolios):
            low[:, j] = _least(low[:, j], unseen, span)
            high[:, j] = _most(high[:, j], unseen, span, _all_are_members(scores, p))
    above = _band(high, estimates, confidence)
    below = -_band(-low, -estimates, confidence)
    return [
        Bound(
            float(estimate),
            max(min(float(lower), float(estimate)), 0.0),
            max(float(upper), float(estimate)),
            confidence,
            len(scores),
            resamples,
            _count(clusters),
        )
        for estimate, lower, upper in zip(estimates, below, above, strict=True)
    ]


def gap_difference_bound(
    scores: Floats,
    first: list[int],
    second: list[int],
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    clusters: Sequence[object] | None = None,
    span: float = 1.0,
) -> Bound:
    """Paired bound on the worst gap of one portfolio minus that of another.

    The prompt that nobody saw is as bad as it can be for the one and as good for the other.

    Args:
        scores: shape (prompts, policies, d), as for `worst_gap_bound`.
        first: rows of the one.
        second: rows of the other; both are measured on the same weighted prompts.
        confidence: of each side, between 0 and 1.
        resamples: random weightings of the prompts.
        seed: of the weights.
        clusters: as for `worst_gap_bound`.
        span: as for `worst_gap_bound`.

    Raises:
        InvalidInputError: `scores` has another shape.
    """
    mean = scores.mean(axis=0)
    means, unseen = resampled_means(scores, resamples, seed, clusters)
    ones, others = (
        np.array([worst_additive_gap(m[rows], m) for m in means]) for rows in (first, second)
    )
    all_first, all_second = (_all_are_members(scores, rows) for rows in (first, second))
    return _bound(
        worst_additive_gap(mean[first], mean) - worst_additive_gap(mean[second], mean),
        _least(ones, unseen, span) - _most(others, unseen, span, all_second),
        _most(ones, unseen, span, all_first) - _least(others, unseen, span),
        confidence,
        len(scores),
        clusters,
    )


def mean_bound(
    differences: Floats,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    span: float = 1.0,
) -> Bound:
    """Bound on the mean of paired differences.

    Args:
        differences: one per prompt, shape (prompts >= 2,), each within -span and span.
        confidence: of each side, between 0 and 1.
        resamples: random weightings of the prompts.
        seed: of the weights.
        span: the largest difference that a single prompt can have.

    Raises:
        InvalidInputError: fewer than two prompts.
    """
    means, unseen = resampled_means(differences[:, None, None], resamples, seed)
    seen = (1 - unseen) * means[:, 0, 0]
    return _bound(
        float(differences.mean()),
        seen - unseen * span,
        seen + unseen * span,
        confidence,
        len(differences),
        None,
    )


def span_of(costs: Floats | None) -> float:
    """The largest gap that a single prompt can have, where rewards are in [0, 1].

    Args:
        costs: taken off the rewards, by policy, shape (n,); None where none are.
    """
    return 1.0 if costs is None or not len(costs) else 1.0 + float(np.ptp(costs))


def _all_are_members(scores: Floats, members: list[int]) -> bool:
    """Whether no policy is left that could be better, on whatever prompt."""
    return len(set(members)) == int(scores.shape[1])


def _most(gaps: Floats, unseen: Floats, span: float, nobody_else: bool) -> Floats:
    """Worst gaps where the unseen prompt pays every other policy `span` more than any member.

    For every weight vector alike, so the worst gap moves by as much.
    """
    return np.asarray((1 - unseen) * gaps + (0.0 if nobody_else else 1.0) * unseen * span)


def _least(gaps: Floats, unseen: Floats, span: float) -> Floats:
    """The same where it pays every member `span` more than any other policy."""
    return np.maximum((1 - unseen) * gaps - unseen * span, 0.0)


def _with_unseen(
    mean: Floats, members: list[int], unseen: float, span: float, good_to_members: bool
) -> tuple[Floats, Floats]:
    """Means of members and of all with the unseen prompt, good to the members or to the others."""
    paid = np.zeros(len(mean), dtype=bool)
    paid[members] = True
    moved = (1 - unseen) * mean
    moved[paid == good_to_members] += unseen * span
    return moved[members], moved


def _band(draws: Floats, estimates: Floats, confidence: float) -> Floats:
    """Upper ends that hold at once, shape (portfolios,): max-t over draws, (resamples, ...)."""
    spread = draws.std(axis=0, ddof=1)
    # A portfolio of all policies has gap 0 whatever the weights: its bound is 0 too.
    deviation = np.where(spread > 1e-12, (draws - estimates) / np.maximum(spread, 1e-12), 0.0)
    most = max(float(np.quantile(deviation.max(axis=1), confidence)), 0.0)
    return np.asarray(estimates + most * spread)


def _bound(
    estimate: float,
    low: Floats,
    high: Floats,
    confidence: float,
    prompts: int,
    clusters: Sequence[object] | None,
) -> Bound:
    lower = min(float(np.quantile(low, 1 - confidence)), float(estimate))
    upper = max(float(np.quantile(high, confidence)), float(estimate))
    return Bound(float(estimate), lower, upper, confidence, prompts, len(high), _count(clusters))


def _count(clusters: Sequence[object] | None) -> int | None:
    return None if clusters is None else len({str(c) for c in clusters})
