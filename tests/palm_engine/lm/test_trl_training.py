"""DPO and GRPO through TRL on a tiny model: what is preferred or paid becomes likelier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palm_engine.errors import ModelSourceError
from tests.support.fakes import tiny_base

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytestmark = pytest.mark.slow

from palm_engine.lm.adapters.files import read_adapter, with_adapter
from palm_engine.lm.base_model.load import load_base
from palm_engine.lm.generation.conversation import conversation_ids
from palm_engine.lm.generation.likelihood import log_likelihoods
from palm_engine.lm.generation.sampling import Answer
from palm_engine.lm.settings import SamplingSettings, TrainingSettings
from palm_engine.lm.trl_training import Preference, train_dpo, train_grpo

PROMPTS = ["Why?", "How?", "Who?", "What now?"]


@pytest.fixture
def base(tmp_path: Path) -> Any:
    return load_base(str(tiny_base(tmp_path / "base")), lambda _: None, "float32", device="cpu")


def settings(**changes: Any) -> TrainingSettings:
    content = {"rank": 4, "batch_size": 4, "epochs": 4, "learning_rate": 1e-2, **changes}
    return TrainingSettings.model_validate(content)


def likelihood(model: Any, tokenizer: Any, answer: str) -> float:
    ids = tuple(tokenizer(answer, add_special_tokens=False)["input_ids"])
    rows = [Answer(answer, ids, tokenizer.eos_token_id)] * len(PROMPTS)
    return float(log_likelihoods(model, tokenizer, None, PROMPTS, rows).sum())


def test_dpo_makes_what_is_preferred_likelier_than_what_is_not(base: Any, tmp_path: Path) -> None:
    model, tokenizer = base.model, base.tokenizer
    before = {k: v.clone() for k, v in model.state_dict().items()}
    start = likelihood(model, tokenizer, "yes") - likelihood(model, tokenizer, "no!")
    shares: list[float] = []
    report = train_dpo(
        model,
        tokenizer,
        [Preference(None, p, "yes", "no!") for p in PROMPTS],
        settings(method="dpo", dpo={"beta": 0.1}),
        1,
        tmp_path / "a",
        shares.append,
    )
    assert report.losses[-1] < report.losses[0]
    assert shares[-1] == 1
    adapted = with_adapter(model, tmp_path / "a")
    end = likelihood(adapted, tokenizer, "yes") - likelihood(adapted, tokenizer, "no!")
    assert end > start + 1
    assert read_adapter(tmp_path / "a").parameters > 0
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert sorted(p.name for p in (tmp_path / "a").iterdir() if p.suffix != ".md") == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


@pytest.fixture
def beginning(base: Any) -> Any:
    """The base with a tokenizer that begins every text with a token of its own, as Llama 3's."""
    from tokenizers import processors

    tokenizer = base.tokenizer
    tokenizer.add_special_tokens({"bos_token": "<|im_start|>"})
    first = int(tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", first)]
    )
    assert tokenizer("x")["input_ids"][0] == first
    return base


def test_dpo_learns_from_the_ids_that_are_served(
    beginning: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import DPOTrainer

    tokenizer = beginning.tokenizer
    seen: list[dict[str, list[int]]] = []
    monkeypatch.setattr(
        DPOTrainer, "train", lambda self, **_: seen.extend(self.train_dataset.to_list())
    )
    preferences = [
        Preference(None, "Why <|im_end|> so?", "yes", "no!"),
        Preference("Be brief.", "How?", "cut off", "no", chosen_ended=False),
    ]
    train_dpo(beginning.model, tokenizer, preferences, settings(method="dpo"), 1, tmp_path / "a")
    assert len(seen) == 2
    for row, p in zip(seen, preferences, strict=True):
        assert row["prompt_ids"] == conversation_ids(tokenizer, p.system, p.prompt)
        for name, text, ended in (
            ("chosen", p.chosen, p.chosen_ended),
            ("rejected", p.rejected, p.rejected_ended),
        ):
            own = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert row[f"{name}_ids"] == own + [tokenizer.eos_token_id] * ended


def test_grpo_asks_with_the_ids_that_are_served(
    beginning: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import GRPOTrainer

    seen: list[list[int]] = []
    whole = GRPOTrainer._tokenize_prompts

    def tokenized(self: Any, prompts: Any) -> Any:
        found = whole(self, prompts)
        seen.extend(found[0])
        return found

    monkeypatch.setattr(GRPOTrainer, "_tokenize_prompts", tokenized)
    asked = ["Why <|im_end|> so?", "How?"]
    train_grpo(
        beginning.model,
        beginning.tokenizer,
        asked,
        lambda prompts, answers, tokens: np.ones((len(answers), 1)),
        ["any"],
        np.array([1.0]),
        settings(method="grpo", grpo={"steps": 2, "generations": 2}),
        SamplingSettings(max_new_tokens=4),
        1,
        tmp_path / "a",
    )
    expected = [conversation_ids(beginning.tokenizer, None, p) for p in asked]
    assert seen
    assert all(ids in expected for ids in seen)


def test_an_end_that_trl_would_not_teach_is_refused(base: Any, tmp_path: Path) -> None:
    base.tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    base.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}<turn>{% endfor %}"
    with pytest.raises(ModelSourceError, match="eos_token"):
        train_dpo(
            base.model,
            base.tokenizer,
            [Preference(None, "Why?", "yes", "no")],
            settings(method="dpo"),
            1,
            tmp_path / "a",
        )
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_grpo_earns_more_of_what_the_weights_ask_for(
    base: Any, tmp_path: Path, aggregation: str
) -> None:
    asked: list[int] = []

    def score(prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]) -> np.ndarray:
        asked.append(len(answers))
        assert set(prompts) <= set(PROMPTS), "rewards see the user's own prompt"
        low = [sum(c < "P" for c in a) / max(len(a), 1) for a in answers]
        even = [len(a) % 2 for a in answers]
        return np.array([low, even], dtype=float).T

    with torch.no_grad():
        base.model.lm_head.weight.mul_(15)  # random weights hardly prefer any letter otherwise
    report = train_grpo(
        base.model,
        base.tokenizer,
        PROMPTS,
        score,
        ["low", "even"],
        np.array([0.9, 0.1]),
        settings(
            method="grpo",
            learning_rate=2e-2,
            batch_size=16,
            grpo={"steps": 30, "generations": 8, "beta": 0.0, "aggregation": aggregation},
        ),
        SamplingSettings(
            max_new_tokens=8, temperature=1.0, top_p=1.0, top_k=300, repetition_penalty=1.0
        ),
        1,
        tmp_path / "a",
    )
    assert report.weights == {"low": 0.9, "even": 0.1}
    assert len(report.history) == 30
    low, even, scalar = ([h[k] for h in report.history] for k in ("low", "even", "scalar"))
    assert np.mean(low[-5:]) > np.mean(low[:5]) + 0.2
    # The raw traits and what they come to at the weights are logged apart.
    if aggregation == "sum_then_normalize":
        expected = [0.9 * x + 0.1 * y for x, y in zip(low, even, strict=True)]
        assert scalar == pytest.approx(expected, abs=1e-4)
    assert sum(asked) == 30 * 16, "one scoring per answer, not one per trait"
    read_adapter(tmp_path / "a")


class Asked(Exception):
    """A trainer was made with these arguments."""


def asked_of(monkeypatch: pytest.MonkeyPatch, name: str, train: Callable[[], Any]) -> Any:
    """The arguments that TRL's trainer of this name is made with."""

    def trainer(**arguments: Any) -> None:
        raise Asked(arguments)

    monkeypatch.setattr(f"trl.{name}", trainer)
    with pytest.raises(Asked) as made:
        train()
    return made.value.args[0]


def test_settings_reach_the_trainers(
    base: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = {"rank": 3, "alpha": 5, "batch_size": 6, "epochs": 7, "learning_rate": 3e-3}
    chosen = settings(method="dpo", dpo={"beta": 0.37}, **common)
    pairs = [Preference(None, p, "yes", "no!") for p in PROMPTS]
    made = asked_of(
        monkeypatch,
        "DPOTrainer",
        lambda: train_dpo(base.model, base.tokenizer, pairs, chosen, 4, tmp_path / "a"),
    )
    a = made["args"]
    assert (a.beta, a.learning_rate, a.num_train_epochs, a.seed) == (0.37, 3e-3, 7, 4)
    assert a.per_device_train_batch_size == 6
    assert (made["peft_config"].r, made["peft_config"].lora_alpha) == (3, 5)

    grpo = {"steps": 11, "generations": 4, "beta": 0.21, "aggregation": "normalize_then_sum"}
    chosen = settings(method="grpo", grpo=grpo, **common)
    sampling = SamplingSettings(
        max_new_tokens=9, temperature=0.6, top_p=0.8, top_k=12, repetition_penalty=1.2
    )
    made = asked_of(
        monkeypatch,
        "GRPOTrainer",
        lambda: train_grpo(
            base.model,
            base.tokenizer,
            PROMPTS,
            lambda prompts, answers, tokens: np.zeros((len(answers), 2)),
            ["x", "y"],
            np.array([0.3, 0.7]),
            chosen,
            sampling,
            4,
            tmp_path / "a",
        ),
    )
    a = made["args"]
    assert (a.beta, a.max_steps, a.num_generations) == (0.21, 11, 4)
    assert (a.reward_weights, a.multi_objective_aggregation) == ([0.3, 0.7], "normalize_then_sum")
    assert (a.max_completion_length, a.temperature, a.top_p, a.top_k) == (9, 0.6, 0.8, 12)
    assert (a.repetition_penalty, a.learning_rate, a.seed) == (1.2, 3e-3, 4)
    # Whole groups of four answers, and at least as many as a batch holds.
    assert a.per_device_train_batch_size == 8
    assert [f.__name__ for f in made["reward_funcs"]] == ["x", "y"]
    assert (made["peft_config"].r, made["peft_config"].lora_alpha) == (3, 5)


def test_answers_that_train_themselves_go_on_where_they_were_stopped(
    base: Any, tmp_path: Path
) -> None:
    asked: list[int] = []

    def score(prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]) -> np.ndarray:
        asked.append(len(answers))
        return np.array([[len(a) / 100, 0.5] for a in answers])

    def train(progress: Callable[[float], None]) -> Any:
        return train_grpo(
            base.model,
            base.tokenizer,
            PROMPTS,
            score,
            ["long", "even"],
            np.array([0.5, 0.5]),
            settings(method="grpo", batch_size=4, grpo={"steps": 10, "generations": 4}),
            SamplingSettings(max_new_tokens=4),
            1,
            tmp_path / "a",
            progress,
        )

    def stop(share: float) -> None:
        if share > 0.65:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stop)
    assert list((tmp_path / "a.checkpoints").glob("checkpoint-*/trainer_state.json"))
    before = len(asked)
    report = train(lambda share: None)
    assert before + len(asked[before:]) < 20, "what was done is not done again"
    assert len(asked[before:]) <= 4
    assert report.steps == 10
    assert len(report.history) == 10, "what was logged before is told, too"
    read_adapter(tmp_path / "a")
    assert not (tmp_path / "a.checkpoints").exists()


def stopped_training(base: Any, folder: Path, epochs: int) -> tuple[Callable[..., Any], Any]:
    """A DPO training that was stopped at `a`, and the report of one that was not at `whole`."""
    preferences = [Preference(None, p, "yes", "no!") for p in PROMPTS]
    wanted = settings(method="dpo", batch_size=1, epochs=epochs)

    def train(folder: Path, progress: Any) -> Any:
        return train_dpo(base.model, base.tokenizer, preferences, wanted, 1, folder, progress)

    def stop(share: float) -> None:
        if share > 0.7:
            raise KeyboardInterrupt

    whole = train(folder / "whole", lambda share: None)
    with pytest.raises(KeyboardInterrupt):
        train(folder / "a", stop)
    return train, whole


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "optimizer.pt", "rng_state.pth"])
@pytest.mark.parametrize("damage", ["turned", "cut", "gone"])
def test_a_damaged_checkpoint_is_not_gone_on_from(
    base: Any, tmp_path: Path, name: str, damage: str
) -> None:
    train, whole = stopped_training(base, tmp_path, epochs=2)
    found = list((tmp_path / "a.checkpoints").glob(f"checkpoint-*/{name}"))
    assert found, "there is something to damage"
    for path in found:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes(content if damage == "turned" else content[: len(content) // 2])
    shares: list[float] = []
    again = train(tmp_path / "a", shares.append)
    assert min(shares) < 0.4, "it began anew"
    assert again.losses == pytest.approx(whole.losses, abs=1e-4)


def test_a_training_that_was_stopped_goes_on(base: Any, tmp_path: Path) -> None:
    train, whole = stopped_training(base, tmp_path, epochs=5)
    place = tmp_path / "a.checkpoints"
    assert list(place.glob("checkpoint-*/trainer_state.json"))
    # As if the next one had been cut off while it was written.
    (place / "checkpoint-99").mkdir()
    shares: list[float] = []
    again = train(tmp_path / "a", shares.append)
    assert min(shares) > 0.5, "what was done is not done again"
    assert again.losses[-1] == pytest.approx(whole.losses[-1], abs=1e-4)
    one, two = (read_adapter(tmp_path / name).layers for name in ("whole", "a"))
    for path, pair in one.items():
        (a, b, _), (c, d, _) = pair, two[path]
        assert torch.allclose(b.float() @ a.float(), d.float() @ c.float(), atol=1e-3)
    assert not (tmp_path / "a.checkpoints").exists()
