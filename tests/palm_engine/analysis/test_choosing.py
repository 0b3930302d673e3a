"""Select, certify and plan in names instead of row numbers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import palm_engine as palm
from palm_engine.errors import BundleError, InfeasibleError, InvalidInputError
from palm_engine.geometry.gap import worst_gap
from palm_engine.selection.minimum import minimum
from palm_engine.selection.result import Target
from tests.support.bundles import sphere


@pytest.fixture
def table(tmp_path: Path) -> palm.RewardTable:
    points = sphere(20, 3, 5)
    frame = pd.DataFrame(points, columns=["safety", "humor", "brevity"])
    frame.insert(0, "policy", [f"p{i}" for i in range(20)])
    frame.to_csv(tmp_path / "rewards.csv", index=False)
    return palm.read_reward_table(tmp_path / "rewards.csv")


def test_a_selection_speaks_in_names(table: palm.RewardTable) -> None:
    best = palm.select(table, k=3, slack=0)
    reference = minimum(table.points, Target(k=3))
    assert best.policies == tuple(table.policies[m] for m in reference.members)
    assert best.gap.additive == reference.gap.additive
    assert list(best.gap.at) == ["safety", "humor", "brevity"]
    assert sum(best.gap.at.values()) == pytest.approx(1)
    pick = best.pick({"safety": 3, "humor": 1})
    w = np.array([0.75, 0.25, 0.0])
    values = table.points @ w
    assert pick.weights == {"safety": 0.75, "humor": 0.25, "brevity": 0.0}
    assert pick.policy == max(best.policies, key=lambda p: values[table.row(p)])
    assert pick.gap == pytest.approx(values.max() - values[table.row(pick.policy)])
    with pytest.raises(InvalidInputError, match="'humour' isn't a trait"):
        best.pick({"humour": 1})


def test_guardrails_are_given_by_name(table: palm.RewardTable) -> None:
    best = palm.select(
        table,
        k=4,
        include=["p7"],
        exclude=["p0", "p1"],
        floors={"safety": 0.1},
        where={"safety": (0.2, 0.8)},
    )
    assert "p7" in best.policies
    assert not {"p0", "p1"} & set(best.policies)
    assert all(table.rewards[table.row(p), 0] >= 0.1 for p in best.policies)
    assert 0.2 - 1e-9 <= best.gap.at["safety"] <= 0.8 + 1e-9
    with pytest.raises(InvalidInputError, match="no policy 'nobody'"):
        palm.select(table, k=2, include=["nobody"])
    with pytest.raises(InfeasibleError):
        palm.select(table, delta=0.001, exclude=table.policies[1:])


def test_likely_mistakes_are_answered_with_what_to_write(
    table: palm.RewardTable, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="as a list"):
        palm.select(table, k=2, include="p7")
    with pytest.raises(InvalidInputError, match="bounds by trait, as in"):
        palm.select(table, k=2, where=["safety>=.2"])  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="has no splits"):
        palm.select(table, k=2, split="choose")
    path = tmp_path / "rewards.csv"
    path.write_text("policy,safety,humor\na,0.1,0.9\nb,0.9,0.1\n")
    assert palm.read_reward_table(str(path)).policies == ["a", "b"]
    with pytest.raises(InvalidInputError, match="no such file"):
        palm.read_reward_table("nowhere.csv")


def test_a_bundle_is_chosen_from_certified_and_planned(bundles: Path) -> None:
    bundle = palm.read_bundle(bundles / "demo")
    best = palm.select(bundle, k=2)
    rows = [bundle.row(p) for p in best.policies]
    assert best.gap.additive == worst_gap(bundle.points[rows], bundle.points).additive
    bound = palm.certify(bundle, best, resamples=100)
    assert bound.estimate == pytest.approx(best.gap.additive)
    assert bound.lower <= bound.upper
    assert palm.certify(bundle, best.policies, resamples=100) == bound
    with pytest.raises(BundleError, match="no candidate 'nobody'"):
        palm.certify(bundle, ["nobody"])
    with pytest.raises(InvalidInputError, match="split 'train'"):
        palm.select(bundle, k=2, split="train")
    with pytest.raises(InvalidInputError, match="scores by prompt"):
        palm.certify(palm.read_bundle(bundles / "no-texts"), best.policies)


def test_a_pool_is_planned_from_an_array_or_a_bundle(bundles: Path) -> None:
    rewards = np.random.default_rng(0).random((4, 6, 3))
    info = palm.plan(rewards, k=2, most=2)
    assert len(info.chosen.members) == 2
    assert [len(s.members) for s in info.curve] == [1, 2]
    names = ["safety", "humor", "brevity"]
    named = palm.plan(rewards, k=2, most=2, traits=names)
    for selection in (named.chosen, *named.curve):
        assert selection.policies
        assert set(selection.gap.at) == set(names)
        pick = selection.pick({"safety": 0.6, "humor": 0.4})
        assert pick.policy in selection.policies
    assert info.chosen.traits == ("trait-1", "trait-2", "trait-3")
    planned = palm.plan(palm.read_bundle(bundles / "demo"), k=2)
    assert planned.chosen.pick({"safety": 1}).policy in planned.chosen.policies
    with pytest.raises(InvalidInputError, match="3 different names"):
        palm.plan(rewards, k=2, traits=["a", "b"])
    with pytest.raises(InvalidInputError, match="a pool has shape"):
        palm.plan(rewards[0], k=2)
    with pytest.raises(InvalidInputError, match="pool"):
        palm.plan(palm.read_bundle(bundles / "no-texts"), k=2)


def test_the_frontier_has_worst_and_average_by_size(table: palm.RewardTable) -> None:
    curve = palm.size_curve(table, 5, tolerance=0.03)
    assert [s.policies for s in curve] == [
        palm.select(table, k=k, slack=0).policies for k in range(1, 6)
    ]
    assert all(a.gap.additive >= b.gap.additive for a, b in pairwise(curve))
    users = np.random.default_rng(3).dirichlet(np.ones(3), 40_000)
    best = (users @ table.points.T).max(axis=1)
    for s in curve:
        lost = best - (users @ table.points[list(s.members)].T).max(axis=1)
        assert s.average is not None
        assert s.average.expected == pytest.approx(lost.mean(), abs=0.002)
        assert s.average.within == pytest.approx((lost <= 0.03).mean(), abs=0.015)
        assert s.average.expected <= s.gap.additive + 1e-12
    assert [s.gap.additive for s in palm.size_curve(table.points, 5)] == [
        s.gap.additive for s in curve
    ]
    some = palm.size_curve(table, 3, where={"safety": (0.4, 1.0)}, exclude=["p3"])
    assert all(s.gap.at["safety"] >= 0.4 - 1e-9 for s in some)
    assert not any("p3" in s.policies for s in some)
    with pytest.raises(InvalidInputError, match="have no names"):
        palm.size_curve(table.points, 3, exclude=["p3"])
