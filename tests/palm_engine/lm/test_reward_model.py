"""A small reward model: it learns what it is shown, and comes back from its folder the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from palm_engine.errors import ModelSourceError
from tests.support.fakes import tiny_base

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from palm_engine.lm.reward_model import (
    RewardModel,
    RewardModelSettings,
    load_reward_model,
    save_reward_model,
    train_reward_model,
)

# The first label is about the answer, the second about whether it holds the prompt's own letter.
LETTERS = "abcdefgh"
PAIRS = [
    (f"say {p}", f"{a * 4}{'!' if loud else '.'}", float(loud), float(p == a))
    for p in LETTERS
    for a in LETTERS
    for loud in (False, True)
]
PROMPTS, ANSWERS, LOUD, SAME = map(list, zip(*PAIRS, strict=True))
LABELS = np.array([LOUD, SAME], dtype=float).T


def settings(base: Path, **changes: object) -> RewardModelSettings:
    content: dict[str, object] = {
        "base": str(base),
        "heads": ("loud", "same"),
        "learning_rate": 1e-2,
        "head_rate": 1e-2,
        "epochs": 6,
        "rank": 4,
    }
    return RewardModelSettings.model_validate(content | changes)


def test_questions_are_put_as_to_the_base_and_answers_are_text(tmp_path: Path) -> None:
    from palm_engine.lm.base_model.load import load_tokenizer

    base = tiny_base(tmp_path / "base")
    tokenizer = load_tokenizer(base)
    model = RewardModel(settings(base), None, tokenizer, None)
    plain = model.encode("Why?", "So.")
    assert tokenizer.decode(plain[:-1]) == "s:\nu:Why?\nSo."
    assert plain[-1] == tokenizer.eos_token_id
    # Written by a policy, it ends nothing.
    odd = model.encode("Why?", "So.<end>")
    assert odd.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(odd[:-1]).endswith("So.<end>")
    # A template without a system role.
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no') }}"
        "{% endif %}{{ m['role'][0] }}:{{ m['content'] }}\n{% endfor %}"
    )
    assert tokenizer.decode(model.encode("Why?", "So.")[:-1]) == "u:Why?\nSo."


@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 4, b"\xff" * 8 + b"{}"])
def test_heads_of_noise_are_refused(tmp_path: Path, content: bytes) -> None:
    base = tiny_base(tmp_path / "base")
    made = train_reward_model(settings(base, epochs=1), PROMPTS, ANSWERS, LABELS)
    save_reward_model(made, tmp_path / "judge", {})
    (tmp_path / "judge" / "heads.safetensors").write_bytes(content)
    with pytest.raises(ModelSourceError, match="no reward model"):
        load_reward_model(tmp_path / "judge")


def test_it_learns_and_comes_back_the_same(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    shares: list[float] = []
    made = train_reward_model(
        settings(base),
        PROMPTS,
        ANSWERS,
        LABELS,
        lambda share, _: shares.append(share),
    )
    save_reward_model(made, tmp_path / "judge", {"data": "made up"})
    assert shares[-1] == pytest.approx(1)
    scores = made.scores(PROMPTS, ANSWERS, batch_size=7)
    loud = np.array(LOUD, dtype=bool)
    assert scores[loud, 0].min() > scores[~loud, 0].max()
    again = load_reward_model(tmp_path / "judge")
    found = again.scores(PROMPTS[:20], ANSWERS[:20])
    assert np.abs(found - scores[:20]).max() < 0.02, "weights are kept in bfloat16"
    assert json.loads((tmp_path / "judge" / "card.json").read_text())["card"] == {"data": "made up"}
    names = {p.name for p in (tmp_path / "judge").iterdir()}
    assert names == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "card.json",
        "heads.safetensors",
    }


def test_missing_labels_teach_nothing_and_lower_layers_stay(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    labels = LABELS.copy()
    labels[:, 1] = np.nan
    quiet = np.arange(len(labels)) % 2 == 0
    labels[quiet, 0] = np.nan  # all answers that aren't loud
    made = train_reward_model(settings(base, first_layer=1), PROMPTS, ANSWERS, labels)
    save_reward_model(made, tmp_path / "judge", {})
    config = json.loads((tmp_path / "judge" / "adapter_config.json").read_text())
    assert all("layers.1." in name for name in config["target_modules"])
    # Shown loud answers alone it takes every answer for loud: the others were not taught as 0.
    assert made.scores(PROMPTS, ANSWERS)[:, 0].min() > 0.9


def test_long_answers_keep_the_token_that_is_read(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    short = settings(base, epochs=1, most_tokens=40)
    made = train_reward_model(short, PROMPTS, ANSWERS, LABELS)
    whole, cut = made.encode("hi", "x"), made.encode("hi", "x" * 200)
    assert len(cut) == 40
    assert cut[-1] == whole[-1]


def test_a_judge_of_another_base_is_refused(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    made = train_reward_model(settings(base, epochs=1), PROMPTS, ANSWERS, LABELS)
    save_reward_model(made, tmp_path / "judge", {})
    card = tmp_path / "judge" / "card.json"
    content = json.loads(card.read_text())
    card.write_text(json.dumps(content | {"fingerprint": "0" * 64}))
    with pytest.raises(ModelSourceError, match="trained on another"):
        load_reward_model(tmp_path / "judge")
    shutil.rmtree(tmp_path / "judge")
    with pytest.raises(ModelSourceError, match="no such file; write one"):
        load_reward_model(tmp_path / "judge")
