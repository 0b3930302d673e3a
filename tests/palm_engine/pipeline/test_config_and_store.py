"""Configurations are validated by name of field.

Stage results are reused only while their inputs hold.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from palm_engine.analysis.plan import plan
from palm_engine.errors import ConfigError
from palm_engine.pipeline.config import load_config
from palm_engine.pipeline.plan import plan_pool
from palm_engine.pipeline.sample import read_prompts
from palm_engine.pipeline.store import Store, key_of
from palm_engine.pipeline.train import draw_pairs, policy_name
from palm_engine.selection.result import Target

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "configs" / "demo.toml"


def test_the_demo_configuration_is_valid() -> None:
    config = load_config(DEMO)
    assert [t.name for t in config.traits] == ["safety", "humor", "brevity"]


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("seed = ", "sede = ", "sede: unknown key"),
        ("temperature = 0.7", "temperature = 7", "sampling.temperature"),
        ("[[styles]]\nname = ", "[[styles]]\nname = 'base' #", "kept for the unadapted"),
        ("rank = 4", 'rank = "four"', "training.rank"),
        ('name = "demo"', 'name = ".demo"', "name: String should match"),
        ('name = "safety"', 'name = ".."', r"traits\.0\.name"),
        ('reward = "humor"', 'reward = "humour"', r"traits\.1\.reward: .*'humour'.*known are"),
        ('name = "demo"', "name = 'a b'", "name"),
        ("[pool]", "[pool", "not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, match: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(DEMO.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=match):
        load_config(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.toml")


def test_prompt_rows_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("prompt_id,kind,split,text\na,x,train,Hi?\na,x,train,Ho?\n")
    with pytest.raises(ConfigError, match="row 3: prompt_id 'a'"):
        read_prompts(path)


def test_the_demo_prompts_are_stratified_and_have_no_near_duplicates_across_splits() -> None:
    prompts = read_prompts(ROOT / "data" / "prompts.csv")
    counts = prompts.groupby(["split", "kind"]).size().unstack()
    assert list(counts.loc["train"]) == [16] * 4
    assert list(counts.loc["choose"]) == [76] * 4
    assert list(counts.loc["certify"]) == [75] * 4
    stop = {
        "a",
        "an",
        "the",
        "is",
        "are",
        "do",
        "does",
        "i",
        "my",
        "to",
        "of",
        "for",
        "in",
        "on",
        "with",
        "how",
    }
    stop |= {"what", "why", "can", "me", "tell", "give", "be", "it", "and", "or", "at"}
    words = [set(t.lower().strip("?.!").replace("'s", "").split()) - stop for t in prompts["text"]]
    splits = list(prompts["split"])
    texts = list(prompts["text"])
    for i in range(len(words)):
        for j in range(i):
            if splits[i] != splits[j] and len(words[i] | words[j]) > 2:
                share = len(words[i] & words[j]) / len(words[i] | words[j])
                assert share < 0.6, (texts[i], texts[j])


def test_a_result_is_reused_only_for_the_same_key(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = []

    def make() -> pd.DataFrame:
        made.append(1)
        return pd.DataFrame({"x": [len(made)]})

    assert store.table("a/t.parquet", "k1", make)["x"][0] == 1
    assert store.table("a/t.parquet", "k1", make)["x"][0] == 1
    assert store.table("a/t.parquet", "k2", make)["x"][0] == 2
    assert not list(tmp_path.rglob("*.part"))


def test_keys_depend_on_every_value() -> None:
    assert key_of(1, {"a": np.arange(3)}) == key_of(1, {"a": np.arange(3)})
    assert key_of(1, {"a": np.arange(3)}) != key_of(1, {"a": np.arange(4)})


def test_the_plan_holds_corners_and_both_baselines_and_is_the_same_every_time() -> None:
    config = load_config(DEMO)
    config = config.model_copy(update={"plan": config.plan.model_copy(update={"resolution": 20})})
    rewards = np.random.default_rng(0).random((8, 10, 3))
    plan = plan_pool(rewards, config)
    roles = [p.role for p in plan.adapters]
    assert roles.count("corner") == 3
    assert roles.count("outside") == 3
    assert sum(r in ("corner", "plan", "uniform", "spread") for r in roles) >= 14
    assert plan.planned_lower_bound == pytest.approx(plan.planned_gap, abs=1e-9)
    assert len({tuple(p.weights) for p in plan.adapters}) == len(plan.adapters)
    again = plan_pool(rewards, config)
    assert np.array_equal([p.weights for p in plan.adapters], [p.weights for p in again.adapters])


def test_pairs_are_drawn_by_the_gibbs_policy() -> None:
    rewards = np.zeros((2, 3, 2))
    rewards[:, 1, 0] = 1.0  # sample 1 is the one that the first trait likes
    pool = pd.DataFrame(
        {"prompt_id": ["a"] * 3 + ["b"] * 3, "text": list("uvwxyz"), "tokens": [5] * 6}
    )
    texts = {"a": "A?", "b": "B?"}
    pairs = draw_pairs(pool, rewards, 0.01, np.array([1.0, 0.0]), 10, None, texts, 64, seed=1)
    assert [(p.prompt, p.answer, p.weight) for p in pairs] == [("A?", "v", 5.0), ("B?", "y", 5.0)]
    assert policy_name(np.array([0.6, 0.06, 0.34])) == "lora-60-06-34"


def test_the_build_plans_what_the_plan_page_shows() -> None:
    rewards = np.random.default_rng(1).random((6, 8, 3))
    config = load_config(DEMO)
    config = config.model_copy(
        update={
            "plan": config.plan.model_copy(update={"resolution": 12}),
            "selection": config.selection.model_copy(update={"k": 3}),
        }
    )
    built = plan_pool(rewards, config)
    page = plan(rewards, config.plan.betas, Target(k=3), resolution=12, most=4)
    members = page.policies.weights[list(page.chosen.members)]
    assert np.array_equal(built.planned_weights, members)
    assert built.planned_gap == page.chosen.gap.additive
    roles = {tuple(p.weights): p.role for p in built.adapters}
    assert all(roles[tuple(w)] in ("plan", "corner") for w in members)
