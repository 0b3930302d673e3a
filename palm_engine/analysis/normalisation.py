"""What a normalisation does: to a trait's distribution, and to the gaps of its portfolios."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.analysis.story import expected_gaps
from palm_engine.geometry.gap import worst_gap
from palm_engine.selection.minimum import size_curve
from palm_engine.selection.options import Options

BINS = 24


@dataclass(frozen=True)
class ScalingInfo:
    """A trait's scores before and after.

    Attributes:
        raw_edges: of the bins of the scores, (BINS + 1,).
        raw_counts: scores in each, (BINS,).
        reward_edges: of the bins of the rewards, over [0, 1].
        reward_counts: rewards in each.
        mean: of the rewards.
        deviation: standard deviation of the rewards.
    """

    raw_edges: Floats
    raw_counts: Floats
    reward_edges: Floats
    reward_counts: Floats
    mean: float
    deviation: float


def scaling_info(raw: ArrayLike, rewards: ArrayLike) -> ScalingInfo:
    """Histograms of a trait's scores and of what became of them.

    Args:
        raw: scores, shape (n,); NaN where missing.
        rewards: in [0, 1], shape (n,).
    """
    x, v = (np.asarray(a, dtype=float) for a in (raw, rewards))
    known = np.isfinite(x) & np.isfinite(v)
    raw_counts, raw_edges = np.histogram(x[known], BINS)
    reward_counts, reward_edges = np.histogram(v[known], BINS, (0.0, 1.0))
    return ScalingInfo(
        raw_edges,
        raw_counts.astype(float),
        reward_edges,
        reward_counts.astype(float),
        float(v[known].mean()),
        float(v[known].std()),
    )


@dataclass(frozen=True)
class GapsBySize:
    """Worst gaps of the best portfolio of each size.

    Attributes:
        sizes: numbers of members.
        additive: worst additive gaps.
        multiplicative: worst multiplicative gaps, None where not defined.
        averages: additive loss of uniform users.
    """

    sizes: tuple[int, ...]
    additive: tuple[float, ...]
    multiplicative: tuple[float | None, ...]
    averages: tuple[float, ...]


def gaps_by_size(points: ArrayLike, most: int = 6, seconds: float = 2.0) -> GapsBySize:
    """The exact best portfolio of each size, for comparing normalisations.

    Args:
        points: candidates, shape (n, d).
        most: the largest size.
        seconds: time limit per size.
    """
    u = np.asarray(points, dtype=float)
    curve = size_curve(u, most, Options(time_limit=seconds))
    exact = [worst_gap(u[list(s.members)], u) for s in curve]
    return GapsBySize(
        tuple(len(s.members) for s in curve),
        tuple(gap.additive for gap in exact),
        tuple(gap.multiplicative for gap in exact),
        tuple(expected_gaps(u, [s.members for s in curve])),
    )
