"""Prompts by policies, against the definition written out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from palm_engine.analysis.matrix import answer_matrix

TRAITS = ["a", "b"]


def samples(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        {"policy": p, "prompt_id": q, "sample_id": s, "a": rng.random(), "b": rng.random()}
        for p in ("x", "y", "z")
        for q in ("p0", "p1", "p2", "p3")
        for s in range(2)
        if (p, q) != ("z", "p3")
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("seed", range(3))
def test_values_wins_and_spread(seed: int) -> None:
    table = samples(seed)
    w = np.array([0.3, 0.7])
    made = answer_matrix(table, ["p2", "p3", "p0"], ["z", "x"], w, TRAITS)
    wins = [0, 0]
    for i, prompt in enumerate(made.prompt_ids):
        means = {}
        for j, policy in enumerate(made.policies):
            some = table[(table["policy"] == policy) & (table["prompt_id"] == prompt)]
            if some.empty:
                assert np.isnan(made.values[i, j])
                continue
            means[j] = (some["a"] * 0.3 + some["b"] * 0.7).mean()
            assert made.values[i, j] == pytest.approx(means[j])
        wins[max(means, key=means.__getitem__)] += 1
        expected = max(means.values()) - min(means.values()) if len(means) > 1 else 0.0
        assert made.spread[i] == pytest.approx(expected)
    np.testing.assert_allclose(made.wins, np.array(wins) / 3)


def test_equal_answers_share_a_win_and_no_answer_has_none() -> None:
    table = samples(0).assign(a=0.5, b=0.5)
    made = answer_matrix(table, ["p0", "p9"], ["x", "y"], np.array([0.5, 0.5]), TRAITS)
    np.testing.assert_allclose(made.wins, [0.5, 0.5])
    assert np.isnan(made.values[1]).all()
    empty = answer_matrix(table, ["p9"], ["x"], np.array([0.5, 0.5]), TRAITS)
    np.testing.assert_allclose(empty.wins, [0.0])
