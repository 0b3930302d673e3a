"""What a portfolio loses: the worst weights, and prompts, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from palm_engine.analysis.worst_served import furthest_behind, worst_served, worst_user
from palm_engine.bundle.folder import read_bundle
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_additive_gap
from tests.support.bundles import sphere

ROOT = Path(__file__).resolve().parents[3]


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


@pytest.mark.parametrize("rows", [None, [0], [4, 5]])
def test_the_worst_served_user_and_both_answers(rows: list[int] | None) -> None:
    bundle = read_bundle(ROOT / "portfolios" / "demo")
    members = list(bundle.members) if rows is None else rows
    found = worst_user(bundle, members)
    assert found is not None
    w = found.served.weights
    assert found.served.gap == pytest.approx(
        worst_additive_gap(bundle.points[members], bundle.points), abs=1e-9
    )
    values = bundle.points @ w
    assert values[found.served.member] == pytest.approx(values[members].max())
    assert values[found.served.best] == pytest.approx(values.max())
    # Nowhere is the member's answer further behind.
    held_out = set(bundle.prompts.loc[bundle.prompts["split"] != "train", "prompt_id"])
    names = [bundle.policies[i] for i in (found.served.member, found.served.best)]
    means = {
        name: {
            str(prompt): float((rows_of[bundle.traits].to_numpy() @ w).mean())
            for prompt, rows_of in bundle.samples[bundle.samples["policy"] == name].groupby(
                "prompt_id", observed=True
            )
            if prompt in held_out
        }
        for name in names
    }
    behind = {p: means[names[1]][p] - means[names[0]][p] for p in means[names[0]]}
    assert behind[found.prompt_id] == pytest.approx(max(behind.values()))
    for name, text in zip(names, (found.member_text, found.best_text), strict=True):
        assert text in set(bundle.answers(found.prompt_id, [name])["text"])
