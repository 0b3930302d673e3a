"""Claim: the closed-form oracle solves a fine grid of weights in a fraction of a second."""

from __future__ import annotations

import numpy as np

from benchmarks.common import Row, median_seconds
from palm_engine.geometry.simplex import grid
from palm_engine.oracles.gibbs import GibbsOracle


def gibbs() -> Row:
    """1,330 weights on 64 prompts x 24 samples x 3 traits, beside one weight at a time."""
    rewards = np.random.default_rng(0).random((64, 24, 3))
    oracle = GibbsOracle(rewards, 0.1)
    weights = grid(3, 50)
    together = median_seconds(lambda: oracle.solve(weights), 5)
    alone = median_seconds(lambda: [oracle.solve(w) for w in weights], 1)
    return (
        f"closed-form oracle, {len(weights):,} weights, 64 prompts x 24 samples x 3 traits",
        f"{together:.2f} s, {alone / together:.1f}x faster",
        f"the same oracle, one weight at a time ({alone:.2f} s)",
    )


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [gibbs()]
