"""The public API: complete, documented, light to import, and in names instead of row numbers."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
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


def test_all_names_are_there_sorted_and_documented() -> None:
    names = [n for n in palm.__all__ if n != "__version__"]
    assert names == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert set(palm._HOMES) == set(names)
    assert dir(palm) == sorted(palm.__all__)
    for name in names:
        value = getattr(palm, name)
        assert value is getattr(import_module(f"palm_engine.{palm._HOMES[name]}"), name)
        if inspect.isfunction(value):
            assert "Args:" in (value.__doc__ or "") or len((value.__doc__ or "").split()) > 5, name


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = palm.nothing


def test_the_import_is_light() -> None:
    code = (
        "import sys, palm_engine; heavy = {'numpy', 'scipy', 'pandas', 'torch', 'pydantic'};"
        " print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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


def test_the_api_page_lists_every_name_that_is_offered() -> None:
    root = Path(__file__).resolve().parents[2]
    listed = (root / "docs" / "api.md").read_text(encoding="utf-8")
    # Errors are listed as a module.
    names = [n for n in palm.__all__ if n != "__version__" and not n.endswith("Error")]
    assert [n for n in names if f".{n}\n" not in listed] == []
    assert "::: palm_engine.errors" in listed
