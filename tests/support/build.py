"""What a build has evaluated, made up: a configuration, policies, prompts, scored answers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from palm_engine.pipeline.certify import Evaluated
from palm_engine.pipeline.config import BuildConfig
from palm_engine.pipeline.plan import PlannedPolicy
from palm_engine.pipeline.policy import Policy
from palm_engine.rewards import register_reward

TRAITS = ("calm", "quick")
ADAPTERS = {
    "lora-100-00": (1.0, 0.0),
    "lora-00-100": (0.0, 1.0),
    "lora-50-50": (0.5, 0.5),
    "lora-70-30": (0.7, 0.3),
}
OUTSIDE = "lora-30-70"
PROMPTS = {"train": 4, "choose": 12, "certify": 12}


class NumberReward:
    """Reads a trait's score from the text: answers say `calm 0.25 quick 0.5`."""

    normalisation = "as written in the answer"

    def __init__(self, name: str) -> None:
        self.name = name

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> np.ndarray:
        """The number after the trait's name."""
        words = [a.split() for a in answers]
        trait = self.name.split(".")[0]
        return np.array([float(w[w.index(trait) + 1]) for w in words])


def register_number_rewards() -> None:
    """Make `calm`, `quick` and the second judge of `calm` known."""
    for name in (*TRAITS, "calm.second"):
        register_reward(name, partial(NumberReward, name))


def fake_embed(texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
    """A fixed unit vector for each text, in place of the sentence encoder."""
    rows = []
    for text in texts:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        rows.append(np.random.default_rng(seed).normal(size=384))
    made = np.array(rows).reshape(-1, 384)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings without the sentence encoder."""
    for module in ("palm_engine.rewards.embedding", "palm_engine.rewards.fit"):
        monkeypatch.setattr(f"{module}.embed", fake_embed)


def small_config(**changes: object) -> BuildConfig:
    """Two traits, three members."""
    register_number_rewards()
    content: dict[str, object] = {
        "name": "small",
        "title": "small",
        "base": "nowhere",
        "data": {"prompts": "prompts.csv"},
        "traits": [{"name": t, "reward": t} for t in TRAITS],
        "plan": {"resolution": 10, "adapters": 4, "baseline_size": 2, "outside": 1},
        "selection": {"k": 2, "resamples": 100},
    }
    return BuildConfig.model_validate(content | changes)


def evaluated(seed: int = 0) -> Evaluated:
    """Scores of the base and of adapters around what their weights ask for, prompt by prompt."""
    rng = np.random.default_rng(seed)
    ids = [(f"{split}-{i}", split) for split, count in PROMPTS.items() for i in range(count)]
    prompts = pd.DataFrame(ids, columns=["prompt_id", "split"])
    prompts["text"] = "Question " + prompts["prompt_id"]
    rows = []
    for policy, weights in {"base": None, **ADAPTERS, OUTSIDE: (0.3, 0.7)}.items():
        mean = np.array([0.3, 0.3]) if weights is None else 0.2 + 0.7 * np.sqrt(weights)
        for prompt_id, _ in ids:
            for sample in range(2):
                scores = np.clip(mean + rng.normal(0, 0.08, 2), 0, 1).round(4)
                text = f"calm {scores[0]} quick {scores[1]}"
                rows.append((policy, prompt_id, sample, text, 9, *scores))
    columns = ["policy", "prompt_id", "sample_id", "text", "tokens", *TRAITS]
    samples = pd.DataFrame(rows, columns=columns)
    outside = {OUTSIDE: np.array([0.3, 0.7])}
    return Evaluated(["base", *ADAPTERS], outside, list(TRAITS), samples, prompts)


def policies(folder: Path) -> list[Policy]:
    """The policies of `evaluated`, adapters as folders below `folder`."""
    made = [Policy("base", "base", None)]
    for name, weights in {**ADAPTERS, OUTSIDE: (0.3, 0.7)}.items():
        adapter = folder / name
        adapter.mkdir(parents=True)
        (adapter / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 16}')
        (adapter / "adapter_model.safetensors").write_bytes(name.encode())
        role = "outside" if name == OUTSIDE else "plan"
        planned = PlannedPolicy(np.array(weights), 0.1, np.array([0.8, 0.8]), 0.05, role)
        made.append(Policy(name, "adapter", None, planned, adapter))
    return made
