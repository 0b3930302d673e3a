"""Probes are fitted from labels: what is separable is told apart, wrong labels are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from palm_engine.cli.main import app
from palm_engine.errors import InvalidInputError
from palm_engine.rewards import fit, make_reward
from palm_engine.rewards.settings import ProbeSettings

pytest.importorskip("sklearn")


def embed(texts: list[str], batch_size: int = 64) -> np.ndarray:
    """Texts that say `joke` or `care` point into directions of their own."""
    rng = np.random.default_rng(0)
    noise = {t: rng.normal(0, 0.05, 384) for t in sorted(set(texts))}
    rows = []
    for text in texts:
        vector = noise[text].copy()
        vector[0] += 4 * ("joke" in text)
        vector[1] += 4 * ("care" in text)
        rows.append(vector / np.linalg.norm(vector))
    return np.array(rows, dtype=np.float32)


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fit, "embed", embed)
    rows = [
        (f"topic-{i // 8}", f"prompt {i // 8}", f"{i} {a} {b}", int(b == "care"), int(a == "joke"))
        for i, (a, b) in enumerate([(a, b) for a in ("joke", "plain") for b in ("care", "-")] * 96)
    ]
    columns = ["topic", "prompt", "answer", "safety", "humor"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "labelled.csv", index=False)
    return tmp_path / "labelled.csv"


def test_separable_labels_are_told_apart(labelled: Path, tmp_path: Path) -> None:
    for trait, features in (("humor", ("answer",)), ("safety", ("prompt", "answer", "product"))):
        out = tmp_path / f"{trait}.json"
        card = fit.fit_probe(labelled, trait, out, features, labelled)
        assert card["auroc_cross_validated"] > 0.95
        assert card["auroc_model_outputs"] > 0.95
        assert card["topics"] == 48
        written = json.loads(out.read_text())
        assert written["card"] == card
        assert len(written["coefficients"]) == 384 * len(features)


def test_answers_of_one_topic_stay_in_one_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Labels are those of their topics, by chance: known of one answer, they are of all.
    topics = [f"topic-{i // 10}" for i in range(300)]
    monkeypatch.setattr(
        fit,
        "embed",
        lambda texts: np.eye(384, dtype=np.float32)[[int(t.split()[0]) for t in texts]],
    )
    label = np.random.default_rng(0).permutation([0, 1] * 15)
    frame = pd.DataFrame(
        {
            "topic": topics,
            "prompt": [f"{i // 10} asked" for i in range(300)],
            "answer": [f"{i // 10} said {i}" for i in range(300)],
            "odd": np.repeat(label, 10),
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    card = fit.fit_probe(tmp_path / "t.csv", "odd", tmp_path / "odd.json")
    assert card["auroc_cross_validated"] < 0.7, "folds of answers would give nearly 1"


def test_shuffled_labels_are_not(labelled: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(labelled)
    frame["humor"] = np.random.default_rng(1).permutation(frame["humor"])
    frame.to_csv(labelled, index=False)
    humor = fit.fit_probe(labelled, "humor", tmp_path / "humor.json")
    assert humor["auroc_cross_validated"] < 0.7


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("humor", 2, "'humor' must hold 0 and 1"),
        ("humor", 1, "only one of 0 and 1"),
        ("topic", None, "'topic' is missing"),
        ("topic", "the same", "at least 5 topics"),
    ],
)
def test_wrong_tables_are_refused_before_anything_is_written(
    labelled: Path, tmp_path: Path, column: str, value: Any, match: str
) -> None:
    frame = pd.read_csv(labelled)
    if value is None:
        frame = frame.drop(columns=column)
    else:
        frame[column] = value
    frame.to_csv(labelled, index=False)
    with pytest.raises(InvalidInputError, match=match):
        fit.fit_probe(labelled, "humor", tmp_path / "humor.json")
    assert not (tmp_path / "humor.json").exists()


def test_a_probe_of_ones_own_is_fitted_and_used_by_a_configuration(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palm_engine.rewards.probe.embed", embed)
    out = tmp_path / "kind.json"
    arguments = ["rewards", "fit", str(labelled), "--trait", "safety", "--out", str(out)]
    done = CliRunner().invoke(app, [*arguments, "--outputs", str(labelled), "--meaning", "kind"])
    assert done.exit_code == 0, done.output
    assert "192 examples of 48 topics" not in done.output
    card = json.loads(out.read_text())["card"]
    assert card["examples"] == 384
    assert card["auroc_cross_validated"] > 0.95
    assert card["meaning"] == "kind"
    probe = make_reward(ProbeSettings(kind="probe", weights=Path("kind.json")), tmp_path)
    good, bad = probe.score(["?"] * 2, ["with care", "without"], [2, 1])
    assert good > 0.8 > 0.2 > bad
    with pytest.raises(InvalidInputError, match="choose of answer, prompt, product"):
        fit.fit_probe(labelled, "safety", out, ("length",))
    with pytest.raises(InvalidInputError, match="'kindness' is missing"):
        fit.fit_probe(labelled, "kindness", out)
