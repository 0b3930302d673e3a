"""The configuration of every table, which the reference shows, builds a bundle (slow).

Only places are others than in the file: a tiny base, adapter and classifier, rewards that are
trained here, and servers on this machine.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("peft")
pytest.importorskip("openai")
pytest.importorskip("uvicorn")

from palm_engine.analysis.choosing import select
from palm_engine.pipeline.config import load_config
from palm_engine.rewards.answers import HEADS
from tests.palm_engine.rewards.test_fit import embed
from tests.support.builds import Recorder, edited
from tests.support.engines import FakeEngine, running
from tests.support.fakes import fake_server, tiny_base, tiny_classifier, write_adapter

pytestmark = pytest.mark.slow
FILE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "every_table.toml"
WORDS = ("refund order login please sorry care joke <a> late again http soon").split()  # noqa: SIM905
PROMPTS = ["refund-late", "login-lost", "refund-angry", *(f"more-{i}" for i in range(13))]


def reply(body: dict[str, Any]) -> str:
    """Some words, by all that a draw may depend on."""
    seed = zlib.crc32(f"{body['model']} {body['messages']} {body['seed']}".encode())
    return " ".join(np.random.default_rng(seed).choice(WORDS, 2 + seed % 5))


def judge(folder: Path, base: Path, heads: tuple[str, ...]) -> None:
    """A reward model with these labels, trained on a few answers."""
    from palm_engine.lm.reward_model import (
        RewardModelSettings,
        save_reward_model,
        train_reward_model,
    )

    content = {"base": str(base), "heads": heads, "epochs": 2, "rank": 2}
    settings = RewardModelSettings.model_validate(content)
    answers = [" ".join(WORDS[i : i + 3]) for i in range(8)]
    labels = np.array([[float((i + j) % 2) for j in range(len(heads))] for i in range(8)])
    model = train_reward_model(settings, [f"{w}?" for w in WORDS[:8]], answers, labels)
    save_reward_model(model, folder, {})


def probe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe for `formal`, fitted on embeddings that tell a word."""
    import pandas as pd

    from palm_engine.rewards import fit

    monkeypatch.setattr(fit, "embed", embed)
    monkeypatch.setattr("palm_engine.rewards.probe.embed", embed)
    rows = [
        (f"t{i // 8}", f"prompt {i // 8}", f"{i} {'care' if i % 2 else 'joke'}", i % 2)
        for i in range(96)
    ]
    columns = ["topic", "prompt", "answer", "formal"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "labels.csv", index=False)
    fit.fit_probe(folder / "labels.csv", "formal", folder / "formal.json")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file in a folder with all that it names."""
    pytest.importorskip("sklearn")
    monkeypatch.setattr("palm_engine.pipeline.certify._diversity", lambda *_: ())
    base = tiny_base(tmp_path / "base")
    write_adapter(tmp_path / "adapters" / "tone-v3", 3)
    (tmp_path / "rewards").mkdir()
    judge(tmp_path / "rewards" / "judge", base, ("fit",))
    judge(tmp_path / "rewards" / "answers", base, HEADS)
    probe(tmp_path / "rewards", monkeypatch)
    tiny_classifier(tmp_path / "toxic", ["fine", "toxic"])
    (tmp_path / "our_rewards.py").write_text(
        "def share_of_links(prompts, answers):\n"
        "    return [min(1.0, a.count('http') / 2) for a in answers]\n"
    )
    (tmp_path / "data").mkdir()
    splits = ["choose", "choose", "certify", *(["train", "choose", "certify"] * 5)]
    rows = [f"{p},any,{s},{p} {i}?" for i, (p, s) in enumerate(zip(PROMPTS, splits, strict=False))]
    (tmp_path / "data" / "prompts.csv").write_text("\n".join(["prompt_id,kind,split,text", *rows]))
    train = [p for p, s in zip(PROMPTS, splits, strict=False) if s == "train"]
    written = [f"{p},warm,we are sorry for {p}" for p in train]
    (tmp_path / "data" / "written.csv").write_text("\n".join(["prompt_id,style,text", *written]))
    path = tmp_path / FILE.name
    path.write_text(FILE.read_text(encoding="utf-8"))
    with ExitStack() as stack:
        engines = [FakeEngine(("Qwen/Qwen3-0.6B",), reply=reply, loads=True) for _ in range(2)]
        urls = [f"{stack.enter_context(running(e))}/v1" for e in engines]
        large, _ = stack.enter_context(
            fake_server(["meta-llama/Llama-3.3-70B-Instruct"], reply=reply)
        )
        graded, _ = stack.enter_context(
            fake_server(
                ["judge-32b"], reply=lambda body: str(1 + zlib.crc32(str(body).encode()) % 5)
            )
        )
        edited(
            path,
            ('base = "Qwen/Qwen3-0.6B"', 'base = "base"'),
            ("s-nlp/roberta_toxicity_classifier", "toxic"),
            ("http://gpu-1:8000/v1", urls[0]),
            ("http://gpu-2:8000/v1", urls[1]),
            ("http://localhost:8000/v1", large),
            ("http://localhost:8001/v1", graded),
        )
        yield tmp_path


def test_the_example_of_every_table_builds(project: Path) -> None:
    from palm_engine.pipeline.build import build

    config = load_config(project / FILE.name)
    log = Recorder()
    bundle = build(config, project, project / "out", log)
    kinds = [c.kind for c in bundle.manifest.candidates]
    # The ten, those of the baselines, and the one that is given.
    assert kinds.count("adapter") > 10 + 1
    assert kinds.count("soup") == 4 + 1
    assert {"base", "prompted", "remote"} <= set(kinds)
    assert len(bundle.manifest.outside) == 2
    assert bundle.label("lora-100-00-00-00-00-00-00") == "Shortest"
    assert log.stages.count("Train adapters") == 2
    assert bundle.manifest.curated_prompts == ("refund-late", "login-lost")
    assert bundle.manifest.template is not None
    assert bundle.manifest.certificate is not None
    assert len(bundle.traits) == 7
    spread = np.ptp(bundle.points, axis=0)
    assert (spread > 0).sum() >= 5, f"rewards tell policies apart: {spread}"
    assert set(select(bundle, k=2).policies) <= set(bundle.policies)
    again = Recorder()
    build(config, project, project / "out", again)
    assert again.stages == ["Select and certify"]
