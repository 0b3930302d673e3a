"""Pairs to train on are drawn by the Gibbs policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palm_engine.bundle.names import trained_name
from palm_engine.errors import ConfigError, ModelSourceError
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.pipeline.config import load_config
from palm_engine.pipeline.train import draw_pairs, draw_preferences
from tests.support.builds import Recorder, edited, write_project

TEXTS = {"a": "A?", "b": "B?"}


def pool_of(prompts: int, samples: int, tokens: int = 5, source: str = "base") -> pd.DataFrame:
    rows = [(f"p{i}", f"{i}-{j}") for i in range(prompts) for j in range(samples)]
    frame = pd.DataFrame(rows, columns=["prompt_id", "text"])
    return frame.assign(tokens=tokens, source=source)


def test_pairs_are_drawn_by_the_gibbs_policy() -> None:
    rewards = np.zeros((2, 3, 2))
    rewards[:, 1, 0] = 1.0  # sample 1 is the one that the first trait likes
    pool = pd.DataFrame(
        {
            "prompt_id": ["a"] * 3 + ["b"] * 3,
            "text": list("uvwxyz"),
            "tokens": [5] * 6,
            "source": ["base"] * 6,
        }
    )
    pairs = draw_pairs(pool, rewards, 0.01, np.array([1.0, 0.0]), 5, None, TEXTS, 64, seed=1)
    assert [(p.prompt, p.answer, p.weight) for p in pairs] == [("A?", "v", 5.0), ("B?", "y", 5.0)]
    assert trained_name(np.array([0.6, 0.06, 0.34])) == "lora-60-06-34"


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 12), st.integers(1, 20))
def test_every_prompt_is_drawn_from_and_counts_follow_the_probabilities(
    seed: int, prompts: int, samples: int, draws: int
) -> None:
    rewards = np.random.default_rng(seed).random((prompts, samples, 2))
    w = np.array([0.3, 0.7])
    texts = {f"p{i}": f"{i}?" for i in range(prompts)}
    pairs = draw_pairs(pool_of(prompts, samples), rewards, 0.2, w, draws, None, texts, 64, seed)
    counts = np.zeros((prompts, samples))
    for pair in pairs:
        i, j = map(int, pair.answer.split("-"))
        counts[i, j] = pair.weight
    assert (counts.sum(axis=1) == draws).all()
    assert np.abs(counts - draws * GibbsOracle(rewards, 0.2).policy(w)).max() < 1 + 1e-9


def test_a_long_answer_was_cut_unless_somebody_wrote_it() -> None:
    texts = {"p0": "?"}
    for source, ended in (("base", False), ("demonstration", True)):
        pool = pool_of(1, 1, tokens=64, source=source)
        (pair,) = draw_pairs(pool, np.ones((1, 1, 2)), 1.0, np.ones(2) / 2, 1, None, texts, 64, 0)
        assert pair.ended is ended


def test_preferences_are_of_answers_that_differ_enough() -> None:
    rng = np.random.default_rng(3)
    rewards = rng.random((6, 5, 2))
    w = np.array([0.6, 0.4])
    values = rewards @ w
    texts = {f"p{i}": f"{i}?" for i in range(6)}
    pool = pool_of(6, 5)
    found = draw_preferences(pool, rewards, 0.05, w, 4, 0.2, None, texts, 9, 1)
    assert found
    assert len(set(found)) == len(found)
    for pair in found:
        (i, a), (j, b) = (map(int, t.split("-")) for t in (pair.chosen, pair.rejected))
        assert i == j == int(pair.prompt.removesuffix("?"))
        assert values[i, a] >= values[i, b] + 0.2
        assert pair.chosen_ended
        assert pair.rejected_ended
    pool.loc[pool["text"].str.endswith("-1"), "tokens"] = 9
    cut = draw_preferences(pool, rewards, 0.05, w, 4, 0.2, None, texts, 9, 1)
    for pair in cut:
        assert pair.chosen_ended == (not pair.chosen.endswith("-1"))
        assert pair.rejected_ended == (not pair.rejected.endswith("-1"))
    assert not all(pair.chosen_ended and pair.rejected_ended for pair in cut)
    with pytest.raises(ConfigError, match=r"training\.dpo\.margin"):
        draw_preferences(pool, rewards, 0.05, w, 4, 1.0, None, texts, 9, 1)


@pytest.mark.parametrize("method", ["dpo", "grpo"])
def test_an_end_that_trl_would_not_teach_is_refused_before_anything_is_drawn(
    tmp_path: Path, method: str
) -> None:
    pytest.importorskip("trl")
    from transformers import AutoTokenizer

    from palm_engine.pipeline.build import build

    config = edited(write_project(tmp_path), ('"rwr"', f'"{method}"'))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}<turn>{% endfor %}"
    tokenizer.save_pretrained(tmp_path / "base")
    progress = Recorder()
    with pytest.raises(ModelSourceError, match="eos_token"):
        build(load_config(config), tmp_path, tmp_path / "out", progress)
    assert not progress.stages
