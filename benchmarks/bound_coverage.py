"""Claim: the split-sample 95 % bound holds in at least 93 % of simulations."""

from __future__ import annotations

import numpy as np

from benchmarks.common import Row, clipped_mean, sphere
from palm_engine.geometry.confidence import worst_gap_bound
from palm_engine.geometry.gap import worst_additive_gap
from palm_engine.selection.minimum import minimum
from palm_engine.selection.result import Target


def coverage(repeats: int = 300, prompts: int = 100) -> Row:
    """How often the split-sample 95 % bound holds where the truth is known.

    Noisy prompts around 12 sphere points.
    """
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


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [coverage()]
