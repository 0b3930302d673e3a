"""Direct preference optimisation and group-relative policy optimisation, by TRL's trainers.

DPO: Rafailov et al. 2023, arXiv 2305.18290. GRPO: Shao et al. 2024, arXiv 2402.03300; several
rewards are weighed by `reward_weights`. `normalize_then_sum` is GDPO's normalisation (arXiv
2601.05242): each trait is standardised within its group before weights are applied, so that the
objective is no longer linear in the weights with the declared normalisation. The optional extra
`grpo` brings TRL.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import DependencyError, ModelSourceError
from palm_engine.lm.checkpoint import is_sealed, seal, trainer_checkpoints, training_key
from palm_engine.lm.generation.conversation import (
    conversation_ids,
    conversation_text,
    turn_end_id,
)
from palm_engine.lm.settings import SamplingSettings, TrainingSettings
from palm_engine.lm.training import TrainingReport, save_adapter

# Prompts, answers and their lengths in tokens; gives scores (n, traits).
Score = Callable[[Sequence[str], Sequence[str], Sequence[int]], Floats]


@dataclass(frozen=True)
class Preference:
    """Two answers to a prompt, of which the first is preferred.

    Attributes:
        system: prompt to train under, or None.
        prompt: the user's.
        chosen: the answer that is worth more.
        rejected: the other one.
        chosen_ended: whether it ended by itself; what was cut doesn't teach to end there.
        rejected_ended: likewise.
    """

    system: str | None
    prompt: str
    chosen: str
    rejected: str
    chosen_ended: bool = True
    rejected_ended: bool = True


def require_trl() -> None:
    """Check that TRL is installed.

    Raises:
        DependencyError: it isn't.
    """
    try:
        import trl  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            "the methods dpo and grpo need the extra 'grpo': pip install -e '.[grpo]'"
        ) from error


def train_dpo(
    model: Any,
    tokenizer: Any,
    preferences: Sequence[Preference],
    settings: TrainingSettings,
    seed: int,
    folder: Path,
    progress: Callable[[float], None] = lambda _: None,
    mark: str = "",
) -> TrainingReport:
    """Train one adapter on preferences and write it to `folder`.

    Args:
        model: the base; left as it was.
        tokenizer: its tokenizer.
        preferences: at least one.
        settings: of the training; `settings.dpo.beta` holds the adapter to the base.
        seed: of the adapter and the order.
        folder: to write.
        progress: gets the share done, 0 to 1.
        mark: of whatever else the result depends on; a checkpoint under another is not used.

    Raises:
        ModelSourceError: answers end with another token than the tokenizer's, which TRL appends.
        DependencyError: TRL isn't installed.
    """
    require_trl()
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    require_plain_end(tokenizer)
    rows = [
        {
            "prompt": conversation_text(tokenizer, p.system, p.prompt),
            "chosen": p.chosen,
            "rejected": p.rejected,
        }
        for p in preferences
    ]
    place = trainer_checkpoints(folder, training_key(tuple(preferences), settings, seed, mark))
    with _left_as_it_was(model):
        arguments = DPOConfig(
            beta=settings.dpo.beta,
            max_length=None,
            **_arguments(place, settings, seed),
        )
        trainer = DPOTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=_exact(tokenizer, _exchanges(tokenizer, preferences)),
            peft_config=_lora(settings),
            callbacks=[_watch(progress)],
        )
        return _trained(trainer, folder)


def train_grpo(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    score: Score,
    traits: Sequence[str],
    weights: Floats,
    settings: TrainingSettings,
    sampling: SamplingSettings,
    seed: int,
    folder: Path,
    progress: Callable[[float], None] = lambda _: None,
    mark: str = "",
) -> TrainingReport:
    """Train one adapter on its own answers, paid by the traits' rewards at some weights.

    Args:
        model: the base; left as it was.
        tokenizer: its tokenizer.
        prompts: of the users.
        score: the rewards.
        traits: their d names.
        weights: shape (d,).
        settings: of the training.
        sampling: how its answers are drawn.
        seed: of adapter, order and answers.
        folder: to write.
        progress: gets the share done, 0 to 1.
        mark: of whatever else the result depends on; a checkpoint under another is not used.

    Returns:
        The report; its history holds each trait's raw mean and the weighed scalar apart.

    Raises:
        DependencyError: TRL isn't installed.
    """
    require_trl()
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    require_plain_end(tokenizer)
    g = settings.grpo
    rows = [
        {"prompt": conversation_text(tokenizer, settings.system, p), "question": p} for p in prompts
    ]
    asked = {
        row["prompt"]: conversation_ids(tokenizer, settings.system, row["question"]) for row in rows
    }
    shared = _Scores(score)
    key = training_key(tuple(prompts), tuple(map(float, weights)), settings, sampling, seed, mark)
    place = trainer_checkpoints(folder, key)
    with _left_as_it_was(model):
        arguments = GRPOConfig(
            num_generations=g.generations,
            beta=g.beta,
            max_steps=g.steps,
            reward_weights=[float(w) for w in weights],
            multi_objective_aggregation=g.aggregation,
            max_completion_length=sampling.max_new_tokens,
            temperature=max(sampling.temperature, 0.01),
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            repetition_penalty=sampling.repetition_penalty,
            # A batch holds whole groups.
            **_arguments(place, settings, seed)
            | {
                "per_device_train_batch_size": g.generations
                * math.ceil(settings.batch_size / g.generations)
            },
        )
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=[shared.of(i, trait) for i, trait in enumerate(traits)],
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=_exact(tokenizer, asked),
            peft_config=_lora(settings),
            callbacks=[_watch(progress)],
        )
        report = _trained(trainer, folder, tuple(traits))
    return replace(report, weights=dict(zip(traits, map(float, weights), strict=True)))


def _exchanges(tokenizer: Any, preferences: Sequence[Preference]) -> dict[str, list[int]]:
    """Token ids of the texts that TRL makes of preferences: prompts alone, and with an answer."""
    end = str(tokenizer.eos_token)
    known: dict[str, list[int]] = {}
    for p in preferences:
        text = conversation_text(tokenizer, p.system, p.prompt)
        ids = conversation_ids(tokenizer, p.system, p.prompt)
        known[text] = ids
        pairs = ((p.chosen, p.chosen_ended), (p.rejected, p.rejected_ended))
        for answer, ended in pairs:
            own = list(tokenizer(answer, add_special_tokens=False)["input_ids"])
            # TRL puts an end behind every answer, also behind one that was cut.
            whole = text + (answer if answer.endswith(end) else answer + end)
            known[whole] = [*ids, *own, *([tokenizer.eos_token_id] if ended else [])]
    return known


def _exact(tokenizer: Any, known: Mapping[str, list[int]]) -> Any:
    """A copy of a tokenizer that reads some texts as the model is asked with them elsewhere.

    TRL reads a rendered conversation as any other text: tokenizers that begin each text with a
    token of their own begin it twice, and what looks like a special token in a prompt becomes one.

    Args:
        tokenizer: of the model.
        known: token ids, by text.
    """
    from transformers import BatchEncoding

    class Exact(type(tokenizer)):  # type: ignore[misc]
        """Knows some texts by heart."""

        def __call__(self, text: Any = None, *arguments: Any, **options: Any) -> Any:
            texts = [text] if isinstance(text, str) else text
            plain = not arguments and not options and isinstance(texts, list)
            if not plain or not all(t in known for t in texts):
                return super().__call__(text, *arguments, **options)
            ids = [list(known[t]) for t in texts]
            found: dict[str, Any] = {"input_ids": ids}
            found["attention_mask"] = [[1] * len(row) for row in ids]
            if isinstance(text, str):
                found = {name: rows[0] for name, rows in found.items()}
            return BatchEncoding(found)

    made = copy(tokenizer)
    made.__class__ = Exact
    return made


class _Scores:
    """One scoring of a batch for all traits: TRL asks for each trait by itself."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self._last: tuple[Any, Floats] = (None, np.zeros((0, 0)))

    def of(self, column: int, trait: str) -> Any:
        """A reward function of TRL's form for one trait."""

        def reward(
            completions: list[str],
            question: list[str],
            completion_ids: list[list[int]],
            **_: Any,
        ) -> list[float]:
            key = (tuple(question), tuple(completions))
            if self._last[0] != key:
                texts = [c.strip() for c in completions]
                lengths = [len(ids) for ids in completion_ids]
                self._last = (key, self._score(question, texts, lengths))
            return [float(x) for x in self._last[1][:, column]]

        reward.__name__ = trait
        return reward


def _arguments(place: Path, settings: TrainingSettings, seed: int) -> dict[str, Any]:
    return {
        "output_dir": str(place),
        "learning_rate": settings.learning_rate,
        "per_device_train_batch_size": settings.batch_size,
        "num_train_epochs": settings.epochs,
        "warmup_steps": 0.1,
        "lr_scheduler_type": "linear",
        "max_grad_norm": 1.0,
        "seed": seed % 2**31,
        # A share of all steps: what is done is lost by a tenth at most.
        "save_strategy": "steps",
        "save_steps": 0.1,
        "save_total_limit": 1,
        "report_to": "none",
        "logging_steps": 1,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "bf16": False,
        "dataloader_pin_memory": False,
    }


def _lora(settings: TrainingSettings) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


@contextmanager
def _left_as_it_was(model: Any) -> Iterator[None]:
    """Takes off what a trainer leaves on the base.

    A wrapped forward, which copies of the model would share, and a cache that is switched off.
    """
    cached = model.config.use_cache
    try:
        yield
    finally:
        for module in model.modules():
            vars(module).pop("forward", None)
            vars(module).pop("_original_forward", None)
        model.config.use_cache = cached


def _watch(progress: Callable[[float], None]) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Reports steps done, and seals checkpoints."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """After each step."""
            progress(state.global_step / max(state.max_steps, 1))

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """After each checkpoint."""
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

        def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """TRL prints each log otherwise."""

    return Watch()


def _trained(trainer: Any, folder: Path, traits: tuple[str, ...] = ()) -> TrainingReport:
    from transformers import PrinterCallback
    from transformers.trainer_utils import get_last_checkpoint

    trainer.remove_callback(PrinterCallback)
    adapted = trainer.accelerator.unwrap_model(trainer.model)
    place = Path(trainer.args.output_dir)
    for cut in place.glob("checkpoint-*"):
        # Cut off while it was written, or damaged since.
        if not is_sealed(cut):
            shutil.rmtree(cut)
    try:
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(place)))
        adapted.eval()
        save_adapter(adapted, folder)
        shutil.rmtree(place)
    finally:
        adapted.unload()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    history = tuple(
        {trait: float(entry[f"rewards/{trait}/mean"]) for trait in traits}
        | {"scalar": float(entry["reward"])}
        for entry in logs
        if traits
    )
    losses = tuple(float(entry["loss"]) for entry in logs)
    return TrainingReport(losses, (), 1, trainer.state.global_step, history)


def require_plain_end(tokenizer: Any) -> None:
    """Check that answers end with the token that TRL teaches and stops at.

    Raises:
        ModelSourceError: the chat template ends them with another.
    """
    end = turn_end_id(tokenizer)
    if end not in (None, tokenizer.eos_token_id):
        raise ModelSourceError(
            "dpo and grpo: this model's answers end with another token than its tokenizer's"
            " eos_token, which TRL teaches and stops at; use the method rwr, or set eos_token to"
            " the template's"
        )
