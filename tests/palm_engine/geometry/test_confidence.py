"""The confidence bound keeps its promise in simulation, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from palm_engine.errors import InvalidInputError, UndefinedGapError
from palm_engine.geometry.confidence import (
    gap_difference_bound,
    mean_bound,
    simultaneous_bounds,
    worst_gap_bound,
)
from palm_engine.geometry.gap import worst_additive_gap, worst_gap

TRUTH = np.abs(np.random.default_rng(0).normal(size=(6, 3)))
TRUTH = 0.2 + 0.6 * TRUTH / np.linalg.norm(TRUTH, axis=1, keepdims=True)


def scores(prompts: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shared = rng.normal(scale=0.1, size=(prompts, 1, 3))
    return TRUTH + shared + rng.normal(scale=0.15, size=(prompts, 6, 3))


def test_upper_bound_of_a_portfolio_fixed_beforehand_covers_the_truth() -> None:
    truth = worst_additive_gap(TRUTH[[0, 1]], TRUTH)
    covered = [
        worst_gap_bound(scores(100, s), [0, 1], resamples=200, seed=s).upper >= truth
        for s in range(60)
    ]
    # Nominal 95 %; 60 repeats would show 86 % or less with probability below one in a hundred.
    assert np.mean(covered) > 0.86


def test_lower_bounds_and_bands_for_several_portfolios_hold_as_often_as_they_say() -> None:
    portfolios = [[0], [0, 1], [0, 1, 2]]
    truth = np.array([worst_additive_gap(TRUTH[p], TRUTH) for p in portfolios])
    single, above, below = [], [], []
    for seed in range(60):
        data = scores(60, 1000 + seed)
        single.append(worst_gap_bound(data, [0, 1], resamples=150, seed=seed).lower <= truth[1])
        band = simultaneous_bounds(data, portfolios, resamples=150, seed=seed)
        above.append(all(b.upper >= t for b, t in zip(band, truth, strict=True)))
        below.append(all(b.lower <= t for b, t in zip(band, truth, strict=True)))
    # Nominal 95 % each; the percentile bounds of before held in .77 and .70 of runs.
    for covered in (single, above, below):
        assert np.mean(covered) > 0.86


def test_the_same_seed_gives_the_same_bound_and_more_prompts_a_sharper_one() -> None:
    few = worst_gap_bound(scores(50, 1), [0, 1], resamples=200, seed=3)
    assert few == worst_gap_bound(scores(50, 1), [0, 1], resamples=200, seed=3)
    many = worst_gap_bound(scores(800, 1), [0, 1], resamples=200, seed=3)
    assert many.upper - many.lower < few.upper - few.lower


def test_a_portfolio_of_everything_has_gap_zero_for_certain() -> None:
    bound = worst_gap_bound(scores(30, 2), list(range(6)), resamples=100)
    assert bound.upper == pytest.approx(0, abs=1e-9)
    band = simultaneous_bounds(scores(30, 2), [[0], list(range(6))], resamples=100)
    assert band[1].upper == pytest.approx(0, abs=1e-9)


def test_simultaneous_bounds_are_not_sharper_than_single_ones() -> None:
    data = scores(80, 5)
    portfolios = [[0], [0, 1], [0, 1, 2]]
    band = simultaneous_bounds(data, portfolios, resamples=400, seed=1)
    # The reference: each portfolio's own band, by the same rule for it alone.
    for portfolio, bound in zip(portfolios, band, strict=True):
        single = simultaneous_bounds(data, [portfolio], resamples=400, seed=1)[0]
        assert bound.estimate == single.estimate
        assert bound.upper >= single.upper
        assert bound.lower <= single.lower
    assert any(
        bound.upper > simultaneous_bounds(data, [p], resamples=400, seed=1)[0].upper + 1e-6
        for p, bound in zip(portfolios, band, strict=True)
    )


def test_paired_difference_sees_what_is_common_to_both() -> None:
    data = scores(200, 7)
    bound = gap_difference_bound(data, [0], [0, 1, 2], resamples=200)
    # Two portfolios bounded apart leave more open than their difference on the same prompts.
    one, other = (worst_gap_bound(data, rows, resamples=200) for rows in ([0], [0, 1, 2]))
    assert 0 < bound.lower < bound.estimate < bound.upper
    assert bound.lower > one.lower - other.upper
    assert bound.upper < one.upper - other.lower


def test_what_no_prompt_shows_is_bounded_as_the_binomial_says() -> None:
    # Nothing seen on n prompts: the exact one-sided bound on a rate is 1 - (1 - confidence)^(1/n).
    for n in (20, 50, 300):
        exact = 1 - 0.05 ** (1 / n)
        bound = mean_bound(np.zeros(n), resamples=20_000)
        assert bound.smallest_failure_seen == pytest.approx(exact)
        assert bound.upper == pytest.approx(exact, rel=0.03)
        assert bound.lower == pytest.approx(-exact, rel=0.03)
        gap = worst_gap_bound(np.full((n, 2, 3), 0.5), [0], resamples=4000)
        assert gap.estimate == 0
        assert gap.upper == pytest.approx(exact, rel=0.1)
        assert gap.lower == 0


@pytest.mark.parametrize(("prompts", "rate"), [(50, 0.01), (50, 0.05), (100, 0.01), (300, 0.01)])
def test_a_rare_failure_that_may_go_unseen_is_covered(prompts: int, rate: float) -> None:
    # The member fails safety on a share of prompts, the other never does; a percentile bootstrap
    # covers .40, .91, .64 and .93 of the runs (the audit of 25 November 2026).
    rng = np.random.default_rng(prompts)
    held = []
    for seed in range(60):
        drawn = np.full((prompts, 2, 2), 0.5)
        drawn[:, :, 0] = 1.0
        drawn[rng.random(prompts) < rate, 0, 0] = 0.0
        bound = worst_gap_bound(drawn, [0], resamples=150, seed=seed)
        held.append(bound.upper >= rate)
    # Nominal 95 %; as above.
    assert np.mean(held) > 0.86


def test_prompts_of_a_cluster_count_as_one() -> None:
    few = scores(30, 4)
    copied = np.repeat(few, 5, axis=0)
    clusters = list(np.repeat([f"{i:02d}" for i in range(30)], 5))
    alone = worst_gap_bound(few, [0, 1], resamples=150, seed=2)
    together = worst_gap_bound(copied, [0, 1], resamples=150, seed=2, clusters=clusters)
    assert (together.lower, together.upper) == pytest.approx((alone.lower, alone.upper))
    assert (together.clusters, together.prompts) == (30, 150)
    assert together.smallest_failure_seen == alone.smallest_failure_seen
    assert together.upper > worst_gap_bound(copied, [0, 1], resamples=150, seed=2).upper
    with pytest.raises(InvalidInputError, match="at least two clusters"):
        worst_gap_bound(few, [0], clusters=["a"] * 30)
    with pytest.raises(InvalidInputError, match="29 clusters for 30 prompts"):
        worst_gap_bound(few, [0], clusters=["a"] * 29)


def test_costs_that_differ_widen_what_an_unseen_prompt_can_do() -> None:
    data = scores(60, 4)
    plain = worst_gap_bound(data, [0], resamples=150)
    assert worst_gap_bound(data, [0], resamples=150, span=1.5).upper > plain.upper


def test_too_few_prompts_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="prompts >= 2"):
        worst_gap_bound(scores(1, 0), [0])


def test_multiplicative_bounds_are_those_of_the_multiplicative_gap_and_hold_for_all_at_once() -> (
    None
):
    drawn = 0.2 + 0.6 * np.random.default_rng(4).random((60, 6, 3))
    portfolios = [[0], [0, 1], [0, 1, 2, 3, 4, 5]]
    found = simultaneous_bounds(drawn, portfolios, resamples=120, multiplicative=True)
    mean = drawn.mean(axis=0)
    for bound, p in zip(found, portfolios, strict=True):
        assert bound.estimate == pytest.approx(worst_gap(mean[p], mean).multiplicative, abs=1e-12)
        assert bound.upper >= bound.estimate
    assert found[2].upper == 0
    with pytest.raises(UndefinedGapError):
        simultaneous_bounds(drawn - 2, portfolios, resamples=100, multiplicative=True)
