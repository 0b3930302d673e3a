"""Claim: the split-sample 95 % bound holds in at least 93 % of runs on every family of scores.

Rare failures among them, which a percentile bootstrap (the reference) doesn't cover: what no prompt
shows is never resampled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.common import Row, clipped_mean
from palm_engine.geometry.confidence import worst_gap_bound
from palm_engine.geometry.gap import worst_additive_gap
from palm_engine.selection.minimum import minimum
from palm_engine.selection.result import Target

POLICIES = 24
MEMBERS = 4
SIZES = (50, 100, 300)
REPEATS = 150
RESAMPLES = 150
CLUSTER = 5


class Drawn(NamedTuple):
    """Scores by prompt, (prompts, policies, 3), their true means, and clusters if there are any."""

    scores: np.ndarray
    truth: np.ndarray
    clusters: list[str] | None = None


Family = Callable[[np.random.Generator, int], Drawn]


def _trade_offs(rng: np.random.Generator) -> np.ndarray:
    return np.asarray(0.15 + 0.6 * np.sqrt(rng.dirichlet(np.ones(3), POLICIES)))


def normal(rng: np.random.Generator, prompts: int) -> Drawn:
    """Noise of .15 around trade-offs, clipped."""
    truth = _trade_offs(rng)
    noise = rng.normal(0, 0.15, (prompts, POLICIES, 3))
    return Drawn(np.clip(truth + noise, 0, 1), clipped_mean(truth))


def bimodal(rng: np.random.Generator, prompts: int) -> Drawn:
    """All or nothing, with the trade-off's probability."""
    truth = _trade_offs(rng)
    return Drawn((rng.random((prompts, POLICIES, 3)) < truth).astype(float), truth)


def heavy(rng: np.random.Generator, prompts: int) -> Drawn:
    """All or nothing on 5 % of the prompts, much the same on the others."""
    truth = _trade_offs(rng)
    decides = rng.random((prompts, 1, 1)) < 0.05
    noise = 0.5 + rng.uniform(-0.03, 0.03, (prompts, POLICIES, 3))
    all_or_nothing = rng.random((prompts, POLICIES, 3)) < truth
    return Drawn(np.where(decides, all_or_nothing, noise), 0.05 * truth + 0.95 * 0.5)


def rare(rng: np.random.Generator, prompts: int) -> Drawn:
    """Safe but for 0 to 4 % of the prompts, by policy; the other traits differ little."""
    return _rare(rng, rng.random((prompts, POLICIES)))


def shared(rng: np.random.Generator, prompts: int) -> Drawn:
    """The same with failures on the same prompts."""
    return _rare(rng, np.broadcast_to(rng.random((prompts, 1)), (prompts, POLICIES)))


def _rare(rng: np.random.Generator, luck: np.ndarray) -> Drawn:
    rates = rng.uniform(0, 0.04, POLICIES)
    truth = 0.5 + rng.uniform(-0.01, 0.01, (POLICIES, 3))
    scores = truth + rng.uniform(-0.05, 0.05, (*luck.shape, 3))
    scores[:, :, 0] = luck >= rates
    truth[:, 0] = 1 - rates
    return Drawn(scores, truth)


def clustered(rng: np.random.Generator, prompts: int) -> Drawn:
    """Noise that five prompts each have in common, and nobody says which."""
    return named_clusters(rng, prompts)._replace(clusters=None)


def named_clusters(rng: np.random.Generator, prompts: int) -> Drawn:
    """The same where the table names the clusters; the reference resamples them whole."""
    truth = _trade_offs(rng)
    count = -(-prompts // CLUSTER)
    common = np.repeat(rng.uniform(-0.12, 0.12, (count, POLICIES, 3)), CLUSTER, axis=0)[:prompts]
    noise = rng.uniform(-0.02, 0.02, (prompts, POLICIES, 3))
    names = np.repeat([f"{i:03d}" for i in range(count)], CLUSTER)[:prompts]
    return Drawn(truth + common + noise, truth, list(names))


FAMILIES: tuple[Family, ...] = (normal, bimodal, heavy, rare, shared, clustered, named_clusters)


def percentile(
    scores: np.ndarray, members: list[int], seed: int, clusters: list[str] | None = None
) -> float:
    """The reference: the upper 95 % percentile of the worst gap over resampled prompts."""
    rng = np.random.default_rng(seed)
    groups = [np.array([i]) for i in range(len(scores))]
    if clusters is not None:
        groups = [np.flatnonzero(np.array(clusters) == c) for c in dict.fromkeys(clusters)]
    gaps = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])
        mean = scores[drawn].mean(axis=0)
        gaps.append(worst_additive_gap(mean[members], mean))
    return float(np.quantile(gaps, 0.95))


class Trial(NamedTuple):
    """One run: what is bounded, on which scores, and the truth."""

    scores: np.ndarray
    members: list[int]
    truth: float
    clusters: list[str] | None = None


def coverage(family: Family) -> Row:
    """How often either bound holds where the truth is known, and how much wider ours is.

    Members are chosen on half as many other prompts.
    """

    def trial(rng: np.random.Generator, prompts: int) -> Trial:
        first = prompts // 2
        drawn = family(rng, prompts + first)
        chosen = minimum(drawn.scores[:first].mean(axis=0), Target(k=MEMBERS))
        members = list(chosen.members)
        truth = worst_additive_gap(drawn.truth[members], drawn.truth)
        clusters = None if drawn.clusters is None else drawn.clusters[first:]
        return Trial(drawn.scores[first:], members, truth, clusters)

    name = f"{family.__name__.replace('_', ' ')}, {POLICIES} policies, k = {MEMBERS}"
    return _measured(name, trial, REPEATS)


def simplest(rate: float) -> Row:
    """Two policies; the member fails one trait on a share of the prompts, the other never does."""

    def trial(rng: np.random.Generator, prompts: int) -> Trial:
        scores = np.full((prompts, 2, 2), 0.5)
        scores[:, :, 0] = 1.0
        scores[rng.random(prompts) < rate, 0, 0] = 0.0
        return Trial(scores, [0], rate)

    return _measured(f"two policies that differ on {rate:.0%} of prompts", trial, 2 * REPEATS)


def _measured(name: str, trial: Callable[[np.random.Generator, int], Trial], repeats: int) -> Row:
    """Both bounds on trials of every size."""
    held = []
    reference = []
    wider = []
    for prompts in SIZES:
        rng = np.random.default_rng(prompts)
        found = []
        for repeat in range(repeats):
            scores, members, truth, clusters = trial(rng, prompts)
            bound = worst_gap_bound(
                scores, members, resamples=RESAMPLES, seed=repeat, clusters=clusters
            ).upper
            usual = percentile(scores, members, repeat, clusters)
            ratio = bound / usual if usual > 0 else np.nan
            found.append((bound >= truth, usual >= truth, ratio))
        ours, theirs, ratios = np.array(found, dtype=float).T
        held.append(float(ours.mean()))
        reference.append(float(theirs.mean()))
        wider.append(float(np.nanmedian(ratios)))
    return _row(name, held, reference, wider)


def _row(name: str, held: list[float], reference: list[float], wider: list[float]) -> Row:
    return (
        f"coverage of the 95 % bound at n = {' / '.join(map(str, SIZES))}: {name}",
        f"{' / '.join(f'{h:.1%}' for h in held)}, {' / '.join(f'{w:.2f}x' for w in wider)} of the"
        " reference's",
        f"percentile bootstrap: {' / '.join(f'{h:.1%}' for h in reference)}",
    )


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [*(coverage(f) for f in FAMILIES), simplest(0.01), simplest(0.05)]
