"""How many members are worth having, against counting by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from palm_engine.analysis.recommendation import Recommendation, recommend
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_additive_gap
from palm_engine.selection.minimum import minimum
from palm_engine.selection.result import Target
from palm_engine.tables.read import read_reward_table
from tests.bad_input.case import run
from tests.support.bundles import sphere


def table(folder: Path, prompts: int = 0) -> Path:
    points = sphere(12, 3, 0)
    names = [f"p{i}" for i in range(len(points))]
    frame = pd.DataFrame(points, columns=["safety", "humor", "brevity"])
    frame.insert(0, "policy", names)
    if prompts:
        rng = np.random.default_rng(1)
        parts = []
        for number in range(prompts):
            noisy = np.clip(points + rng.normal(0, 0.05, points.shape), 0, 1)
            part = pd.DataFrame(noisy, columns=frame.columns[1:])
            parts.append(part.assign(policy=names, prompt=f"q{number}"))
        frame = pd.concat(parts)
    frame.to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def found(folder: Path, worth: float, prompts: int = 0) -> Recommendation:
    return recommend(read_reward_table(table(folder, prompts)), worth)


def test_one_more_than_recommended_buys_less_and_no_smaller_size_does(tmp_path: Path) -> None:
    points = read_reward_table(table(tmp_path)).points
    gaps = [minimum(points, Target(k=k)).gap.additive for k in range(1, 13)]
    for worth in (0.2, 0.05, 0.01, 0.001):
        best = found(tmp_path, worth)
        k = best.chosen.size
        assert best.chosen.worst == pytest.approx(gaps[k - 1])
        assert all(gaps[i - 1] - gaps[i] >= worth for i in range(1, k))
        if best.next is not None:
            assert gaps[k - 1] - gaps[k] < worth
            assert f"less than the {worth:g}" in " ".join(best.in_words())
        assert best.proved


def test_with_prompts_the_gaps_are_of_those_not_chosen_on_and_bounded(tmp_path: Path) -> None:
    best = found(tmp_path, 0.02, prompts=60)
    assert best.prompts == 30
    assert best.confidence == 0.95
    scores = read_reward_table(tmp_path / "t.csv").scores
    assert scores is not None
    measure = np.array_split(np.random.default_rng(0).permutation(60), 2)[1]
    points = scores[measure].mean(axis=0)
    for row in best.rows:
        members = [int(m[1:]) for m in row.members]
        assert row.worst == pytest.approx(worst_additive_gap(points[members], points))
        assert row.upper is not None
        assert row.upper >= row.worst
    assert "95% confidence" in best.in_words()[0]
    assert found(tmp_path, 0.02, prompts=10).confidence is None


def test_what_it_has_to_be_worth_is_above_0(tmp_path: Path) -> None:
    for worth in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidInputError, match="above 0"):
            found(tmp_path, worth)


def test_the_command_says_it_in_words(tmp_path: Path) -> None:
    shown = run(["recommend", table(tmp_path, 40), "--worth", ".02"])
    assert shown.status == 0, shown.err
    assert "enough: the worst user loses" in " ".join(shown.out.split())
    assert "*" in shown.out
    assert run(["recommend", tmp_path / "t.csv", "--worth", "0"]).status == 2
