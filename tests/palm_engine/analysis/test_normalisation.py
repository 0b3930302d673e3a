"""The picture of a normalisation: distributions and gaps, against the same numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from app import charts
from palm_engine.analysis.normalisation import BINS, gaps_by_size, scaling_info
from palm_engine.geometry.gap import worst_gap
from palm_engine.selection.minimum import minimum
from palm_engine.selection.result import Target
from tests.support.bundles import sphere


def test_both_distributions_count_every_score_that_is_there() -> None:
    raw = np.array([1.0, 2.0, 2.0, 10.0, np.nan])
    rewards = (raw - 1) / 9
    info = scaling_info(raw, rewards)
    assert info.raw_edges[[0, -1]] == pytest.approx([1, 10])
    assert info.reward_edges[[0, -1]] == pytest.approx([0, 1])
    for counts in (info.raw_counts, info.reward_counts):
        assert counts.shape == (BINS,)
        assert counts.sum() == 4
        assert counts[-1] == 1
        assert counts.max() == 2
    assert info.mean == pytest.approx(np.mean([0, 1 / 9, 1 / 9, 1]))
    assert info.deviation == pytest.approx(np.std([0, 1 / 9, 1 / 9, 1]))
    figure = charts.scaling(info)
    assert [list(bars.y) for bars in figure.data] == [
        list(info.raw_counts),
        list(info.reward_counts),
    ]


def test_multiplicative_gaps_move_with_the_zero_and_additive_ones_do_not() -> None:
    points = sphere(20, 3, 1) / 2
    raised = points + 0.3
    low, high = (gaps_by_size(p, 4) for p in (points, raised))
    assert low.sizes == high.sizes == (1, 2, 3, 4)
    assert low.additive == pytest.approx(high.additive, abs=1e-9)
    for k, additive, multiplicative in zip(
        low.sizes, low.additive, low.multiplicative, strict=True
    ):
        best = minimum(points, Target(k=k))
        assert additive == pytest.approx(best.gap.additive, abs=1e-6)
        assert multiplicative is not None
        assert multiplicative >= worst_gap(points[list(best.members)], points).additive
    assert all(h < m for h, m in zip(high.multiplicative, low.multiplicative, strict=True))  # type: ignore[operator]
    figure = charts.normalised_gaps({"now": high, "before": low}, "multiplicative")
    assert [t.name for t in figure.data] == ["now", "before"]
    assert list(figure.data[1].y) == list(low.multiplicative)
