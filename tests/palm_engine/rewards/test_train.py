"""Reward models are trained from tables; pairs that don't belong together teach relevance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from palm_engine.cli.main import app
from palm_engine.errors import InvalidInputError
from palm_engine.rewards import train as training
from palm_engine.rewards.train import mismatched
from tests.support.fakes import tiny_base

EXAMPLES = pd.DataFrame(
    {
        "prompt": [f"question {i // 2}" for i in range(40)],
        "answer": [f"answer {i}" for i in range(40)],
    }
)


def test_mismatched_pairs_never_belong_together() -> None:
    found = mismatched(EXAMPLES, "fit", 1)
    own = set(zip(EXAMPLES["prompt"], EXAMPLES["answer"], strict=True))
    assert not own & set(zip(found["prompt"], found["answer"], strict=True))
    assert (found["fit"] == 0).all()
    assert set(found.columns) == {"prompt", "answer", "fit"}
    others = found.iloc[: len(EXAMPLES)]
    assert sorted(others["answer"]) == sorted(EXAMPLES["answer"])
    assert (found["prompt"] == found["answer"]).sum() == 4
    assert found.equals(mismatched(EXAMPLES, "fit", 1))
    twice = mismatched(EXAMPLES, "fit", 1, times=2)
    assert len(twice) == len(found) + len(EXAMPLES)
    assert not own & set(zip(twice["prompt"], twice["answer"], strict=True))
    with pytest.raises(InvalidInputError, match="two prompts"):
        mismatched(EXAMPLES.assign(prompt="one"), "fit", 1)


class Talker:
    """A model that takes one answer for relevant whatever was asked, and none else."""

    settings = SimpleNamespace(heads=("loud", "fit"))

    def scores(self, prompts: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        return np.array([[0.0, float(a == "answer 7") + 0.1] for a in answers])


def test_the_hardest_mismatches_are_what_the_model_itself_pays_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Prompts 3 and 4 resemble each other.
    def embed(texts: Sequence[str]) -> np.ndarray:
        rows = np.eye(32)[[int(t.rpartition(" ")[2]) for t in texts]]
        return np.asarray(rows + np.eye(32)[4] * rows[:, 3:4])

    monkeypatch.setattr(training, "embed", embed)
    monkeypatch.setattr(training, "HARD_SHARE", 0.05)
    rng = np.random.default_rng(0)
    found = training.hard_mismatches(Talker(), EXAMPLES, "fit", rng)  # type: ignore[arg-type]
    own = dict(zip(EXAMPLES["answer"], EXAMPLES["prompt"], strict=True))
    assert len(found) == 40 * 6 * 0.05
    assert set(found.columns) == {"prompt", "answer", "fit"}
    assert (found["fit"] == 0).all()
    assert (found["answer"] == "answer 7").sum() == 6, "first of all what is paid for anywhere"
    for prompt, answer in zip(found["prompt"], found["answer"], strict=True):
        assert prompt != own[answer]
        assert {prompt, own[answer]} != {"question 3", "question 4"}


def test_a_reward_model_is_trained_and_tested_by_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "RESEMBLES", 2.0)  # these prompts are all alike
    pytest.importorskip("peft")
    pytest.importorskip("sklearn")
    base = tiny_base(tmp_path / "base")
    table = EXAMPLES.assign(loud=[i % 2 for i in range(40)], fit=2)
    table["answer"] += table["loud"].map({0: "", 1: "!!!"})
    table.iloc[:30].to_csv(tmp_path / "train.csv", index=False)
    table.iloc[30:].to_csv(tmp_path / "test.csv", index=False)
    arguments = ["rewards", "train", str(tmp_path / "train.csv"), "--base", str(base)]
    arguments += ["--head", "fit:2", "--head", "loud", "--relevance", "fit", "--epochs", "8"]
    arguments += [
        "--learning-rate",
        "0.01",
        "--rank",
        "4",
        "--hard",
        "2",
        "--out",
        str(tmp_path / "judge"),
    ]
    done = CliRunner().invoke(app, [*arguments, "--test", f"held={tmp_path / 'test.csv'}"])
    assert done.exit_code == 0, done.output
    card = json.loads((tmp_path / "judge" / "card.json").read_text())["card"]
    assert card["examples"] == 30 + 30 + 3 * 3
    # A tenth of 39 answers put to six others each, twice.
    assert card["hard mismatches"] == 2 * 23
    assert card["answers of held"] == 10
    assert card["AUROC of loud on held"] > 0.9
    leak = CliRunner().invoke(app, [*arguments, "--test", f"held={tmp_path / 'train.csv'}"])
    assert leak.exit_code != 0
    assert "trained on" in str(leak.exception)


def test_a_training_that_is_stopped_anywhere_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    pytest.importorskip("sklearn")
    from palm_engine.lm import reward_model
    from palm_engine.lm.reward_model import RewardModelSettings

    monkeypatch.setattr(training, "RESEMBLES", 2.0)
    monkeypatch.setattr(reward_model, "KEEP_SECONDS", 0.0)
    table = EXAMPLES.assign(fit=[2 * (i % 2) for i in range(40)])
    table.to_csv(tmp_path / "train.csv", index=False)
    base = tiny_base(tmp_path / "base")
    settings = RewardModelSettings(
        base=str(base), heads=("fit",), rank=2, epochs=2, batch_size=16, learning_rate=0.01
    )

    def train(out: Path, stop: int | None = None, seed: int = 0) -> dict[str, bytes]:
        told: list[str] = []

        def progress(_: float, sentence: str) -> None:
            told.append(sentence)
            if len(told) == stop:
                raise KeyboardInterrupt

        training.train_model(
            [tmp_path / "train.csv"],
            {"fit": 2.0},
            out,
            settings.model_copy(update={"seed": seed}),
            relevance="fit",
            hard_rounds=2,
            progress=progress,
        )
        sentences.append(told)
        return {p.name: p.read_bytes() for p in out.iterdir()}

    sentences: list[list[str]] = []
    expected = train(tmp_path / "undisturbed")
    whole = len(sentences[0])
    for stop in (3, 10, 14, whole - 1):
        out = tmp_path / f"stopped-{stop}"
        with pytest.raises(KeyboardInterrupt):
            train(out, stop)
        assert not out.exists()
        kept = tmp_path / f"{out.name}.checkpoint.safetensors"
        assert kept.is_file()
        if stop == 10:  # a bit flips: it begins anew
            raw = bytearray(kept.read_bytes())
            raw[-5] ^= 1
            kept.write_bytes(raw)
        assert train(out) == expected
        assert not kept.exists()
        if stop != 10:
            assert len(sentences[-1]) < whole - stop + 4, "it goes on where it was stopped"
        else:
            assert len(sentences[-1]) == whole
    # Another training doesn't go on from that.
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "other", 10)
    assert train(tmp_path / "other", seed=1) != expected
    assert len(sentences[-1]) == whole


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("prompt,answer,fit\n", "no rows"),
        ("prompt,answer,fit\nq,a,\nr,b,\n", "column fit: every cell is empty"),
    ],
)
def test_nothing_is_trained_without_labels(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    words = ["rewards", "train", tmp_path / "t.csv", "--head", "fit:2", "--out", tmp_path / "judge"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code != 0
    assert why in f"{done.output} {done.exception}"
    assert not (tmp_path / "judge").exists()


@pytest.mark.parametrize("out", ["/proc/judge", "/dev/null/judge"])
def test_a_folder_that_cannot_be_written_is_said_before_the_training(
    tmp_path: Path, out: str
) -> None:
    EXAMPLES.assign(fit=2).to_csv(tmp_path / "train.csv", index=False)
    words = ["rewards", "train", str(tmp_path / "train.csv"), "--head", "fit:2", "--out", out]
    done = CliRunner().invoke(app, words)
    assert done.exit_code != 0
    assert "can't be written" in f"{done.output} {done.exception}"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (["--head", "kind"], "column 'kind' is missing"),
        (["--head", "fit:1"], "row 2, column fit: 2 is no number from 0 to 1"),
        (["--head", "fit:x"], "NAME:LARGEST"),
        (["--head", "fit:0"], "NAME:LARGEST"),
        (["--head", "fit:inf"], "NAME:LARGEST"),
        (["--head", "fit:2", "--learning-rate", "0"], "learning_rate"),
        (["--head", "fit:2", "--seed", "9" * 30], "seed"),
        (["--head", "fit:2", "--relevance", "loud"], "is not one of the heads"),
        (["--head", "fit:2", "--hard", "2"], "(--relevance)"),
        (["--head", "fit:2", "--test", "x"], "NAME=FILE"),
    ],
)
def test_what_cannot_be_trained_on_is_named(tmp_path: Path, change: list[str], why: str) -> None:
    EXAMPLES.assign(fit=2).to_csv(tmp_path / "train.csv", index=False)
    arguments = ["rewards", "train", str(tmp_path / "train.csv"), "--out", str(tmp_path / "judge")]
    done = CliRunner().invoke(app, [*arguments, *change])
    assert done.exit_code != 0
    assert why in f"{done.output} {done.exception}"
    assert not (tmp_path / "judge").exists()


def test_nothing_but_a_reward_model_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "portfolio.json").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "bundle")
    (tmp_path / "file").touch()
    for name in ("bundle", "link", "file"):
        with pytest.raises(InvalidInputError, match="choose a new folder"):
            training.train_model([], {}, tmp_path / name, None)  # type: ignore[arg-type]
    assert (tmp_path / "bundle" / "portfolio.json").read_text() == "{}"
