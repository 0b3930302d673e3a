"""Pairs to train on are drawn by the Gibbs policy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from palm_engine.pipeline.train import draw_pairs, policy_name


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
