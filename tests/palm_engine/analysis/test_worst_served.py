"""What a portfolio loses: the worst weights, and prompts, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from palm_engine.analysis.worst_served import furthest_behind, worst_served
from palm_engine.bundle.folder import read_bundle
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_additive_gap
from tests.support.bundles import sphere


@settings(max_examples=30)
@given(some.integers(2, 4), some.integers(0, 10_000))
def test_the_worst_served_weights_are_the_worst(d: int, seed: int) -> None:
    points = sphere(8, d, seed)
    found = worst_served(points, [0, 1])
    assert found[0].gap == pytest.approx(worst_additive_gap(points[:2], points), abs=1e-12)
    for served in found:
        values = points @ served.weights
        assert served.gap == pytest.approx(values.max() - values[:2].max(), abs=1e-12)
        assert values[served.best] == pytest.approx(values.max())
    assert worst_served(points, list(range(8))) == []


def test_prompts_furthest_behind_by_hand(bundles: Path) -> None:
    bundle = read_bundle(bundles / "demo")
    samples = bundle.samples.copy()
    w = np.array([0.5, 0.5, 0.0])
    samples.loc[(samples["policy"] == "m2") & (samples["prompt_id"] == "p3"), "safety"] += 0.5
    table = furthest_behind(samples, "m1", "m2", w, bundle.traits)
    assert table["prompt_id"][0] == "p3"
    one, two = (bundle.points[bundle.policies.index(m)] for m in ("m1", "m2"))
    assert table["gap"][0] == pytest.approx((two - one) @ w + 0.25)
    assert len(table) == 6
    with pytest.raises(InvalidInputError, match="nobody"):
        furthest_behind(samples, "nobody", "m2", w, bundle.traits)
