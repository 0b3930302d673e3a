"""The demo's real model, adapters and rewards (slow): they are what the bundle says they are."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palm_engine.bundle.folder import Bundle, read_bundle

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return read_bundle(ROOT / "portfolios" / "demo")


@pytest.fixture(scope="module")
def base() -> Any:
    from palm_engine.lm.base_model.load import load_base
    from palm_engine.lm.base_model.places import DEMO_BASE

    return load_base(DEMO_BASE)


def next_token(model: Any, tokenizer: Any, prompt: str) -> np.ndarray:
    import torch

    from palm_engine.lm.generation.conversation import conversation_ids

    with torch.inference_mode():
        logits = model(torch.tensor([conversation_ids(tokenizer, None, prompt)])).logits[0, -1]
    return torch.softmax(logits.float(), -1).numpy()


def test_the_base_is_the_one_that_the_adapters_were_trained_on(demo: Bundle, base: Any) -> None:
    assert demo.manifest.base is not None
    assert base.fingerprint == demo.manifest.base.fingerprint


def test_every_two_members_differ_and_the_base_is_left_as_it_was(demo: Bundle, base: Any) -> None:
    from palm_engine.lm.adapters.files import adapter_sha256, with_adapter

    prompt = "Can I charge my phone in the bathtub?"
    before = next_token(base.model, base.tokenizer, prompt)
    seen = [before]
    for member in demo.manifest.members:
        candidate = demo.candidate(member.policy)
        if candidate.adapter is None:
            continue
        folder = demo.folder / candidate.adapter
        assert adapter_sha256(folder) == candidate.adapter_sha256
        adapted = with_adapter(base.model, folder)
        seen.append(next_token(adapted, base.tokenizer, prompt))
    distances = [np.abs(a - b).sum() / 2 for i, a in enumerate(seen) for b in seen[:i]]
    assert min(distances) > 0.01
    assert np.array_equal(before, next_token(base.model, base.tokenizer, prompt))


def test_recorded_scores_are_what_the_shipped_rewards_give(demo: Bundle) -> None:
    from palm_engine.rewards import get_reward

    texts = dict(zip(demo.prompts["prompt_id"], demo.prompts["text"], strict=True))
    rows = demo.samples.sample(40, random_state=0)
    for trait in demo.manifest.traits:
        found = get_reward(trait.reward).score(
            [texts[p] for p in rows["prompt_id"]], list(rows["text"]), list(rows["tokens"])
        )
        assert np.abs(found - rows[trait.name].to_numpy()).max() < 1e-3


def test_training_learns_what_it_is_shown(base: Any, tmp_path: Path) -> None:
    from palm_engine.lm.adapters.files import with_adapter
    from palm_engine.lm.generation.conversation import Request
    from palm_engine.lm.generation.sampling import sample_answers
    from palm_engine.lm.settings import SamplingSettings, TrainingSettings
    from palm_engine.lm.training import Pair, train_adapter

    pairs = [
        Pair(None, q, "Bananas, always bananas.", True, 1.0)
        for q in ("What now?", "Who are you?", "Why?", "How?")
    ]
    prompt = "What now?"
    before = next_token(base.model, base.tokenizer, prompt)
    report = train_adapter(
        base.model,
        base.tokenizer,
        pairs,
        TrainingSettings(learning_rate=5e-3, batch_size=4, epochs=12, held_out=0),
        1,
        tmp_path / "bananas",
    )
    assert report.losses[-1] < 0.5 * report.losses[0]
    assert np.allclose(before, next_token(base.model, base.tokenizer, prompt))
    assert sorted(p.name for p in (tmp_path / "bananas").iterdir() if p.suffix != ".md") == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    written = json.loads((tmp_path / "bananas" / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == ""
    assert written["target_modules"] == sorted(written["target_modules"])
    adapted = with_adapter(base.model, tmp_path / "bananas")
    answer = sample_answers(
        adapted,
        base.tokenizer,
        [Request(None, prompt)],
        SamplingSettings(temperature=0, repetition_penalty=1),
    )[0]
    assert "banana" in answer.text.lower()


def test_a_small_build_runs_through_resumes_and_chooses_the_same(tmp_path: Path) -> None:
    from palm_engine.pipeline.build import build
    from palm_engine.pipeline.config import load_config, quick

    prompts = [
        (f"p{i}", "any", split, f"Question {i}: what is {i} plus {i}?")
        for i, split in enumerate(["train"] * 3 + ["choose"] * 2 + ["certify"] * 3)
    ]
    with (tmp_path / "prompts.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("prompt_id", "kind", "split", "text"), *prompts])
    config = quick(load_config(ROOT / "configs" / "demo.toml"))
    data = config.data.model_copy(update={"prompts": Path("prompts.csv"), "demonstrations": None})
    config = config.model_copy(update={"data": data, "curated_prompts": ()})
    stages: list[str] = []

    class Recorder:
        def stage(self, title: str, total: float) -> Any:
            stages.append(title)
            return lambda amount: None

        def note(self, text: str) -> None: ...

    first = build(config, tmp_path, tmp_path / "out", Recorder())
    assert {
        "Score the pool",
        "Train adapters",
        "Draw answers (train)",
        "Draw answers (certify)",
        "Estimate KL",
    } <= set(stages)
    assert 1 <= len(first.members) <= 2
    certificate = first.manifest.certificate
    assert certificate is not None
    assert certificate.scope == "candidates"

    # One adapter is lost: only that one is trained and asked again, and the selection is the same.
    lost = next(iter(c.policy for c in first.manifest.candidates if c.kind == "adapter"))
    (tmp_path / ".demo-quick.build" / "adapters" / f"{lost}.key").unlink()
    stages.clear()
    again = build(config, tmp_path, tmp_path / "out", Recorder())
    assert stages == ["Train adapters", "Select and certify"]
    assert again.manifest.members == first.manifest.members
    assert again.manifest.candidates == first.manifest.candidates
