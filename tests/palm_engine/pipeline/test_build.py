"""Whole builds on a tiny model: every method of training, rounds, soups, own policies (slow)."""

from __future__ import annotations

from pathlib import Path

import pytest

from palm_engine.errors import ConfigError
from palm_engine.pipeline.config import BuildConfig, load_config
from tests.support.builds import Recorder, edited, write_project

pytest.importorskip("peft")
pytestmark = pytest.mark.slow
UNTRAINED = ('base = "', 'train = false\nbase = "')


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # No encoder: how different members' answers are is another test's.
    monkeypatch.setattr("palm_engine.pipeline.certify._diversity", lambda *_: ())
    write_project(tmp_path)
    return tmp_path


def configured(project: Path, method: str, rounds: int = 1) -> BuildConfig:
    warm = str(rounds > 1).lower()
    changes = [
        ('"rwr"', f'"{method}"'),
        ("count = 1\n", f"count = {rounds}\nwarm_start = {warm}\n"),
    ]
    return load_config(edited(project / "tiny.toml", *changes))


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

    without = edited(project / "tiny.toml", UNTRAINED, ("count = 2", "count = 0"))
    bundle = build(load_config(without), project, project / "out", Recorder())
    assert bundle.policies == ["base", "loud", "mine"]
    assert bundle.manifest.certificate is not None
    assert bundle.pool_rewards is None


def test_soups_need_training(project: Path) -> None:
    edited(project / "tiny.toml", UNTRAINED)
    with pytest.raises(ConfigError, match="soups and rounds"):
        load_config(project / "tiny.toml")
