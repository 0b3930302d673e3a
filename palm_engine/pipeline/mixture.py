"""Draws answers of decoding-time mixtures: adapters whose logits are added up at every token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from palm_engine.pipeline.engines.worker import loaded_base
from palm_engine.pipeline.sample import DrawTask, draw_from
from palm_engine.pipeline.store import key_of


@dataclass(frozen=True)
class MixTask:
    """What one process draws of a mixture.

    Attributes:
        asked: what is drawn, as for a policy; its adapter is not used.
        parts: weight and folder of each adapter, by name.
    """

    asked: DrawTask
    parts: dict[str, tuple[float, Path]]

    @property
    def policy(self) -> str:
        """Name of the mixture."""
        return self.asked.policy

    @property
    def count(self) -> int:
        """How many answers it draws."""
        return self.asked.count


def draw_mixture(task: MixTask) -> pd.DataFrame:
    """Draw the task's answers; columns as `sample.draw` gives them."""
    from palm_engine.lm.adapters.files import read_adapter
    from palm_engine.lm.adapters.stack import AdapterStack
    from palm_engine.lm.generation.sampling import Mixture

    base = loaded_base(task.asked.base, task.asked.template)
    stack = AdapterStack(base.model)
    try:
        stack.add({name: read_adapter(folder) for name, (_, folder) in task.parts.items()})
        weights = {name: weight for name, (weight, _) in task.parts.items()}
        return draw_from(base.model, base.tokenizer, task.asked, Mixture(weights, stack.on_rows))
    finally:
        stack.close()


def mixture_key(task: MixTask, model_key: list[str]) -> str:
    """What a task's answers depend on: the task, the content of its adapters, and the model."""
    from palm_engine.lm.adapters.files import adapter_sha256

    parts = {name: (w, adapter_sha256(folder)) for name, (w, folder) in task.parts.items()}
    return key_of(replace(task.asked, batch_size=1), parts, model_key)
