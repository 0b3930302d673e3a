"""Whole builds on a tiny model: every method of training, rounds, soups, own policies (slow)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from palm_engine.errors import ConfigError
from palm_engine.pipeline.config import load_config
from tests.support.fakes import tiny_base, write_adapter

pytest.importorskip("peft")
pytestmark = pytest.mark.slow

REWARDS = """
def low(prompts, answers):
    return [sum(c < "P" for c in a) / max(len(a), 1) for a in answers]


def vowels(prompts, answers):
    return [sum(c in "aeiou" for c in a.lower()) / max(len(a), 1) for a in answers]
"""
CONFIG = """
name = "tiny"
title = "tiny"
base = "{base}"

[data]
prompts = "prompts.csv"
demonstrations = "written.csv"

[[styles]]
name = "loud"
system = "SHOUT"

[[policies]]
name = "mine"
display_name = "My own"
adapter = "mine"

[[traits]]
name = "low"
reward = {{kind = "function", entry = "own:low"}}

[[traits]]
name = "vowels"
reward = {{kind = "function", entry = "own:vowels"}}

[sampling]
max_new_tokens = 6

[pool]
samples_per_source = 2

[plan]
resolution = 10
adapters = 3
baseline_size = 2
outside = 1

[training]
method = "{method}"
batch_size = 4
epochs = 1
draws_per_prompt = 2
held_out = 0.34
grpo = {{steps = 2, generations = 2}}
dpo = {{margin = 0.01}}

[rounds]
count = {rounds}
warm_start = {warm}
answers = 1

[soups]
count = 2

[display_names]
lora-100-00 = "Low"

[evaluation]
answers_per_prompt = 1
kl_prompts = 2

[selection]
k = 2
resamples = 100

[run]
workers = 1
"""


class Recorder:
    """Keeps the titles of stages and the notes."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, title: str, total: float) -> Any:
        """Begin a stage."""
        self.stages.append(title)
        return lambda amount: None

    def note(self, text: str) -> None:
        """Keep a note."""
        self.notes.append(text)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # No encoder: how different members' answers are is another test's.
    monkeypatch.setattr("palm_engine.pipeline.certify._diversity", lambda *_: ())
    tiny_base(tmp_path / "base")
    write_adapter(tmp_path / "mine", 5)
    (tmp_path / "own.py").write_text(REWARDS)
    rows = ["prompt_id,kind,split,text"]
    rows += [f"{s}-{i},any,{s},{s} {i}?" for s in ("train", "choose", "certify") for i in range(3)]
    (tmp_path / "prompts.csv").write_text("\n".join(rows))
    written = [f"train-{i},any,{text}" for i in range(3) for text in ("AAAA", "aeio")]
    (tmp_path / "written.csv").write_text("\n".join(["prompt_id,style,text", *written]))
    return tmp_path


def configured(project: Path, method: str, rounds: int = 1) -> Any:
    text = CONFIG.format(
        base=project / "base", method=method, rounds=rounds, warm=str(rounds > 1).lower()
    )
    (project / "tiny.toml").write_text(text)
    return load_config(project / "tiny.toml")


@pytest.mark.parametrize(("method", "rounds"), [("rwr", 2), ("dpo", 1), ("grpo", 1)])
def test_every_method_builds_a_bundle_and_resumes(project: Path, method: str, rounds: int) -> None:
    from palm_engine.pipeline.build import build

    if method != "rwr":
        pytest.importorskip("trl")
    config = configured(project, method, rounds)
    first = Recorder()
    bundle = build(config, project, project / "out", first)
    kinds = {c.policy: c.kind for c in bundle.manifest.candidates}
    assert kinds["mine"] == "adapter"
    assert list(kinds.values()).count("soup") == 2
    assert bundle.label("mine") == "My own"
    assert bundle.label("lora-100-00") == "Low"
    soup = next(c for c in bundle.manifest.candidates if c.kind == "soup")
    assert soup.soup is not None
    assert set(soup.soup) == {"lora-100-00", "lora-00-100"}
    assert sum(soup.soup.values()) == pytest.approx(1, abs=1e-3)
    assert 1 <= len(bundle.members) <= 2
    assert first.stages.count("Train adapters") == rounds
    sources = set(bundle._table("pool.parquet", ["source"])["source"])
    own = {s for s in sources if ".round-1" in s}
    assert bool(own) == (rounds == 2), "the policies' own answers joined the pool"
    trained = [n for n in first.notes if n.startswith("lora-100-00:")]
    assert len(trained) == rounds
    assert ("value" if method == "grpo" else "loss") in trained[0]
    again = Recorder()
    same = build(config, project, project / "out", again)
    assert again.stages == ["Select and certify"]
    assert same.manifest.candidates == bundle.manifest.candidates


def test_without_training_what_is_given_is_evaluated(project: Path) -> None:
    from palm_engine.pipeline.build import build

    text = CONFIG.format(base=project / "base", method="rwr", rounds=1, warm="false")
    text = text.replace('base = "', 'train = false\nbase = "', 1).replace("count = 2", "count = 0")
    (project / "tiny.toml").write_text(text)
    bundle = build(load_config(project / "tiny.toml"), project, project / "out", Recorder())
    assert bundle.policies == ["base", "loud", "mine"]
    assert bundle.manifest.certificate is not None
    assert bundle.pool_rewards is None


def test_soups_need_training(project: Path) -> None:
    text = CONFIG.format(base=project / "base", method="rwr", rounds=1, warm="false")
    (project / "tiny.toml").write_text(text.replace('base = "', 'train = false\nbase = "', 1))
    with pytest.raises(ConfigError, match="soups and rounds"):
        load_config(project / "tiny.toml")
