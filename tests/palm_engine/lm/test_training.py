"""Training of adapters on tiny models: the weighted likelihood, its step, early stopping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import ARCHITECTURES, ByteTokenizer, TurnTokenizer, tiny_llama, tiny_model

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from palm_engine.lm.adapters.files import with_adapter
from palm_engine.lm.checkpoint import Checkpoint
from palm_engine.lm.generation.conversation import conversation_ids
from palm_engine.lm.generation.likelihood import log_likelihoods
from palm_engine.lm.generation.sampling import Answer
from palm_engine.lm.settings import TrainingSettings
from palm_engine.lm.training import Pair, TrainingReport, train_adapter

PAIRS = [
    Pair(None, "hi", "abc", True, 1.0),
    Pair(None, "hi", "a much longer answer than the others", False, 3.0),
    Pair("be brief", "what now?", "xy", True, 2.0),
    Pair(None, "who?", "zz top", True, 1.0),
]


def trained(model: Any, folder: Path, pairs: list[Pair] = PAIRS, **changes: Any) -> TrainingReport:
    settings = {"rank": 2, "batch_size": 2, "epochs": 1, "held_out": 0.0, **changes}
    return train_adapter(
        model, ByteTokenizer(), pairs, TrainingSettings.model_validate(settings), 3, folder
    )


def loss(model: Any, pairs: list[Pair]) -> float:
    """The weighted loss per token, one pair at a time through `model(...).logits`."""
    total = 0.0
    tokens = 0.0
    for pair in pairs:
        prompt = conversation_ids(ByteTokenizer(), pair.system, pair.prompt)
        answer = [*pair.answer.encode(), *([1] if pair.ended else [])]
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *answer]])).logits[0].double()
        picked = torch.log_softmax(logits, -1)[range(len(prompt) - 1, len(prompt + answer) - 1)]
        total -= pair.weight * float(picked[range(len(answer)), answer].sum())
        tokens += pair.weight * len(answer)
    return total / tokens


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "Gemma3"])
def test_every_architecture_is_trained_on_its_own_distribution(
    architecture: str, tmp_path: Path
) -> None:
    model = tiny_model(architecture)
    before = loss(model, PAIRS)
    # At a vanishing rate the loss of the first epoch is that of the model itself.
    report = trained(model, tmp_path / "still", learning_rate=1e-12)
    assert report.losses[0] == pytest.approx(before, abs=1e-3)
    trained(model, tmp_path / "moved", learning_rate=1e-2, epochs=6)
    assert loss(with_adapter(model, tmp_path / "moved"), PAIRS) < before - 0.05
    assert loss(model, PAIRS) == pytest.approx(before, abs=1e-6), "the base is left as it was"


def test_the_templates_end_of_an_answer_is_what_is_taught(tmp_path: Path) -> None:
    from palm_engine.lm.generation.likelihood import log_likelihoods
    from palm_engine.lm.generation.sampling import Answer

    tokenizer = TurnTokenizer()
    settings = TrainingSettings(rank=2, batch_size=2, epochs=8, held_out=0.0, learning_rate=1e-2)
    pairs = [Pair(None, "Why?", "ab", True, 1.0)] * 4
    asked = [Answer("ab", (97, 98), end) for end in (1, 5)]
    model = tiny_llama()
    before = log_likelihoods(model, tokenizer, None, ["Why?"] * 2, asked)
    train_adapter(model, tokenizer, pairs, settings, 1, tmp_path / "a")
    after = log_likelihoods(
        with_adapter(model, tmp_path / "a"), tokenizer, None, ["Why?"] * 2, asked
    )
    gain = after - before
    assert gain[1] > gain[0] + 0.3


def test_training_goes_on_from_an_adapter(tmp_path: Path) -> None:
    model = tiny_llama()
    trained(model, tmp_path / "first", learning_rate=1e-2, epochs=6)
    learnt = loss(with_adapter(model, tmp_path / "first"), PAIRS)
    assert learnt < loss(model, PAIRS) - 0.05
    settings = TrainingSettings(rank=2, batch_size=2, epochs=1, held_out=0.0, learning_rate=1e-12)
    report = train_adapter(
        model, ByteTokenizer(), PAIRS, settings, 3, tmp_path / "on", start=tmp_path / "first"
    )
    assert report.losses[0] == pytest.approx(learnt, abs=2e-3), "where the first stopped"
    assert loss(with_adapter(model, tmp_path / "on"), PAIRS) == pytest.approx(learnt, abs=2e-3)
    other = settings.model_copy(update={"rank": 3})
    with pytest.raises(RuntimeError, match="size"):
        train_adapter(
            model, ByteTokenizer(), PAIRS, other, 3, tmp_path / "no", start=tmp_path / "first"
        )
    assert not (tmp_path / "no").exists()


def test_a_step_is_that_of_the_whole_weighted_likelihood(tmp_path: Path) -> None:
    """Gradients summed over one epoch's batches are those of all pairs at once."""
    seen = {}
    for size in (1, 2, 4):
        gradients: list[Any] = []
        clip = torch.nn.utils.clip_grad_norm_

        def record(
            parameters: Any, most: float, gradients: list[Any] = gradients, clip: Any = clip
        ) -> Any:
            flat = torch.cat([p.grad.flatten() for p in parameters])
            gradients.append(flat.clone())
            return clip(parameters, most)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.nn.utils, "clip_grad_norm_", record)
            trained(tiny_llama(), tmp_path / f"{size}", batch_size=size, learning_rate=1e-12)
        assert len(gradients) == 4 / size
        seen[size] = torch.stack(gradients).mean(0)
    assert torch.allclose(seen[1], seen[4], atol=1e-5)
    assert torch.allclose(seen[2], seen[4], atol=1e-5)


def test_training_stops_when_held_out_prompts_get_worse(tmp_path: Path) -> None:
    pairs = [Pair(None, f"question {i}?", "abcd"[i % 4] * 3, True, 1.0) for i in range(10)]
    model = tiny_llama()
    report = trained(
        model, tmp_path / "a", pairs, epochs=40, held_out=0.3, learning_rate=0.05, rank=8
    )
    held = report.held_out
    assert len(report.losses) < 40, "a random target can't generalise for long"
    assert len(held) == len(report.losses) + 1
    assert held[report.epoch] == min(held[1:])
    assert report.epoch == len(report.losses) - 1, "one epoch past the best, no more"
    # What was written is the adapter of the best epoch: its loss on the prompts held out.
    adapted = with_adapter(model, tmp_path / "a")
    every = [
        log_likelihoods(adapted, ByteTokenizer(), None, [p.prompt], [_answer(p)])[0] for p in pairs
    ]
    losses = sorted(-x / 4 for x in every)[-3:]
    assert sum(losses) / 3 == pytest.approx(held[report.epoch], rel=0.05)


def _answer(pair: Pair) -> Answer:
    return Answer(pair.answer, tuple(pair.answer.encode()), 1)


class Stopped(Exception):
    """As if the process had been killed."""


def stop_at(share: float) -> Any:
    def progress(done: float) -> None:
        if done > share:
            raise Stopped

    return progress


@pytest.mark.parametrize("held_out", [0.0, 0.4])
def test_a_training_that_was_stopped_ends_as_an_undisturbed_one(
    tmp_path: Path, held_out: float
) -> None:
    settings = TrainingSettings(
        rank=2, batch_size=2, epochs=4, learning_rate=1e-2, held_out=held_out
    )
    whole = train_adapter(tiny_llama(), ByteTokenizer(), PAIRS, settings, 3, tmp_path / "whole")
    folder = tmp_path / "stopped"
    steps: list[float] = []
    for share in (0.3, 0.6):
        with pytest.raises(Stopped):
            train_adapter(tiny_llama(), ByteTokenizer(), PAIRS, settings, 3, folder, stop_at(share))
        assert not folder.exists()
        assert (tmp_path / "stopped.checkpoint.safetensors").is_file()
    again = train_adapter(tiny_llama(), ByteTokenizer(), PAIRS, settings, 3, folder, steps.append)
    assert min(steps) > 0.5, "what was done is not done again"
    assert again == whole
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"whole", "stopped"}


def test_a_parameter_without_a_gradient_has_no_state_to_keep(tmp_path: Path) -> None:
    used, unused = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimiser = torch.optim.AdamW([used, unused])
    used.sum().backward()
    optimiser.step()
    checkpoint = Checkpoint(tmp_path / "a", "key")
    checkpoint.keep([used, unused], optimiser, {}, {"step": 1})
    fresh = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    again = torch.optim.AdamW(fresh)
    found = checkpoint.restore(fresh, again)
    assert found is not None
    assert found["step"] == 1
    assert torch.equal(fresh[0], used)
    assert list(again.state) == fresh[:1]
    other = [torch.nn.Parameter(torch.zeros(3)) for _ in range(2)]
    assert checkpoint.restore(other, torch.optim.AdamW(other)) is None
    assert all(float(p.sum()) == 0 for p in other), "nothing is changed by half"


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_left_alone(tmp_path: Path) -> None:
    settings = TrainingSettings(rank=2, batch_size=2, epochs=3, held_out=0.0)
    folder = tmp_path / "a"
    kept = tmp_path / "a.checkpoint.safetensors"
    with pytest.raises(Stopped):
        train_adapter(tiny_llama(), ByteTokenizer(), PAIRS, settings, 3, folder, stop_at(0.5))
    marked: list[float] = []
    train_adapter(
        tiny_llama(), ByteTokenizer(), PAIRS, settings, 3, folder, marked.append, mark="other base"
    )
    assert len(marked) == 6, "what it was begun on is another model"
    for other in (b"no safetensors", None):
        with pytest.raises(Stopped):
            train_adapter(tiny_llama(), ByteTokenizer(), PAIRS, settings, 3, folder, stop_at(0.5))
        if other is not None:
            kept.write_bytes(other)
        seed = 3 if other is not None else 4
        steps: list[float] = []
        train_adapter(tiny_llama(), ByteTokenizer(), PAIRS, settings, seed, folder, steps.append)
        assert len(steps) == 6, "from the start"
        assert not kept.exists()
