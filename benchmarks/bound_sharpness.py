"""Claim: at 400 prompts the median 95 % bound is at most 2.5 times the true gap."""

from __future__ import annotations

import statistics

import numpy as np

from benchmarks.common import Row, clipped_mean, sphere
from palm_engine.geometry.confidence import worst_gap_bound
from palm_engine.geometry.gap import worst_additive_gap
from palm_engine.selection.minimum import minimum
from palm_engine.selection.result import Target


def sharpness(repeats: int = 60) -> Row:
    """The median 95 % bound of three members, chosen on 200 prompts and bounded on 400, over the
    true gap.
    """
    rng = np.random.default_rng(1)
    truth = sphere(12, 3) * 0.8
    exact = clipped_mean(truth)
    ratios = []
    for repeat in range(repeats):
        scores = np.clip(truth + rng.normal(0, 0.15, (600, 12, 3)), 0, 1)
        members = list(minimum(scores[:200].mean(axis=0), Target(k=3)).members)
        bound = worst_gap_bound(scores[200:], members, resamples=200, seed=repeat)
        ratios.append(bound.upper / worst_additive_gap(exact[members], exact))
    return (
        "sharpness of the bound, n = 400, k = 3",
        f"median {statistics.median(ratios):.2f}x",
        "the true gap",
    )


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [sharpness()]
