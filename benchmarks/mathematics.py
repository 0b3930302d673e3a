"""Claims about the mathematics, each timed against a named reference in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.optimize import linprog

from palm_engine.geometry.confidence import worst_gap_bound
from palm_engine.geometry.gap import worst_additive_gap
from palm_engine.geometry.simplex import grid
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.selection.minimum import minimum
from palm_engine.selection.result import Target

Row = tuple[str, str, str]


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of `repeats` runs, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def sphere(count: int, d: int, seed: int = 0) -> np.ndarray:
    """Points on the positive part of the unit sphere."""
    points = np.abs(np.random.default_rng(seed).normal(size=(count, d)))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def lp_gap(portfolio: np.ndarray, candidates: np.ndarray) -> float:
    """The reference: one linear program a candidate."""
    d = portfolio.shape[1]
    a_ub = np.hstack([portfolio, -np.ones((len(portfolio), 1))])
    solved = [
        linprog(
            np.r_[-q, 1.0], A_ub=a_ub, b_ub=np.zeros(len(portfolio)), A_eq=np.r_[np.ones(d), 0.0][None], b_eq=[1.0],
            bounds=[(0, None)] * d + [(None, None)],
        ).fun
        for q in candidates
    ]  # fmt: skip
    return -min(solved)


def exact_gap(d: int) -> Row:
    """Exact worst gap of 5 members against 1,000 candidates, beside the linear programs."""
    points = sphere(1000, d)
    ours = median_seconds(lambda: worst_additive_gap(points[:5], points), 50)
    started = time.perf_counter()
    reference = lp_gap(points[:5], points)
    slow = time.perf_counter() - started
    agree = abs(reference - worst_additive_gap(points[:5], points))
    return (
        f"exact worst gap, 5 members, 1,000 candidates, d={d}",
        f"{slow / ours:,.0f}x faster ({1000 * ours:.2f} ms), differs by {agree:.0e}",
        f"one scipy.optimize.linprog a candidate ({slow:.2f} s)",
    )


def gibbs() -> Row:
    """1,330 weights on 64 prompts x 24 samples x 3 traits, beside one weight at a time."""
    rewards = np.random.default_rng(0).random((64, 24, 3))
    oracle, weights = GibbsOracle(rewards, 0.1), grid(3, 50)
    together = median_seconds(lambda: oracle.solve(weights), 5)
    alone = median_seconds(lambda: [oracle.solve(w) for w in weights], 1)
    return (
        f"closed-form oracle, {len(weights):,} weights, 64 prompts x 24 samples x 3 traits",
        f"{together:.2f} s, {alone / together:.1f}x faster",
        f"the same oracle, one weight at a time ({alone:.2f} s)",
    )


def bootstrap() -> Row:
    """1,000 resamples of 200 prompts x 40 policies x 3 traits."""
    scores = np.random.default_rng(0).random((200, 40, 3))
    seconds = median_seconds(lambda: worst_gap_bound(scores, [0, 1, 2, 3, 4]), 3)
    return ("1,000 bootstrap resamples, 40 policies, 200 prompts, d=3", f"{seconds:.2f} s", "no reference")


def coverage(repeats: int = 300, prompts: int = 100) -> Row:
    """How often the split-sample 95 % bound holds where the truth is known: noisy prompts around 12 sphere points."""
    rng = np.random.default_rng(0)
    truth = sphere(12, 3) * 0.8
    held = 0
    for repeat in range(repeats):
        scores = np.clip(truth + rng.normal(0, 0.15, (prompts + prompts // 2, 12, 3)), 0, 1)
        members = list(minimum(scores[: prompts // 2].mean(axis=0), Target(k=4)).members)
        bound = worst_gap_bound(scores[prompts // 2 :], members, resamples=200, seed=repeat)
        # The truth is the mean after clipping, as for real rewards.
        held += bound.upper >= worst_additive_gap(clipped_mean(truth)[members], clipped_mean(truth))
    return (
        f"coverage of the 95 % bound, split sample, n = {prompts}, {repeats} repeats",
        f"{held / repeats:.1%}",
        "the true gap",
    )


def agreement(instances: int = 1000) -> Row:
    """Largest difference from the linear programs over random instances, d = 2 to 6."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for i in range(instances):
        d = 2 + i % 5
        portfolio, candidates = rng.random((4, d)), rng.random((6, d))
        worst = max(worst, abs(lp_gap(portfolio, candidates) - worst_additive_gap(portfolio, candidates)))
    return (f"agreement on {instances:,} random instances, d=2 to 6", f"within {worst:.0e}", "the linear programs")


def sharpness(repeats: int = 60) -> Row:
    """The median 95 % bound of three members, chosen on 200 prompts and bounded on 400, over the true gap."""
    rng = np.random.default_rng(1)
    truth = sphere(12, 3) * 0.8
    exact = clipped_mean(truth)
    ratios = []
    for repeat in range(repeats):
        scores = np.clip(truth + rng.normal(0, 0.15, (600, 12, 3)), 0, 1)
        members = list(minimum(scores[:200].mean(axis=0), Target(k=3)).members)
        bound = worst_gap_bound(scores[200:], members, resamples=200, seed=repeat)
        ratios.append(bound.upper / worst_additive_gap(exact[members], exact))
    return ("sharpness of the bound, n = 400, k = 3", f"median {statistics.median(ratios):.2f}x", "the true gap")


def clipped_mean(truth: np.ndarray) -> np.ndarray:
    """Mean of clip(x + noise, 0, 1) for each coordinate, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    noisy = np.clip(truth[..., None] + 0.15 * nodes, 0, 1)
    return np.asarray((noisy * weights).sum(axis=-1) / weights.sum())


def rows() -> list[Row]:
    """All claims: (what, result, reference)."""
    return [exact_gap(3), exact_gap(5), gibbs(), agreement(), bootstrap(), coverage(), sharpness()]
