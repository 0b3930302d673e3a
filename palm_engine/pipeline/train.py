"""Stage 4: one LoRA adapter per planned weights, by reward-weighted regression."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from palm_engine.lm.settings import TemplateSettings, TrainingSettings
from palm_engine.lm.training import Pair, TrainingReport, train_adapter
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.pipeline.workers import loaded_base, report_progress

DEMONSTRATION = "demonstration"


@dataclass(frozen=True)
class TrainTask:
    """One adapter to train: the pairs are already drawn, so that a process needs no pool."""

    base: str
    template: TemplateSettings | None
    policy: str
    pairs: tuple[Pair, ...]
    settings: TrainingSettings
    seed: int
    folder: Path


def train(task: TrainTask) -> TrainingReport:
    """Train the task's adapter in this process."""
    base = loaded_base(task.base, task.template)
    reported = 0.0

    def progress(share: float) -> None:
        nonlocal reported
        report_progress(share - reported)
        reported = share

    return train_adapter(
        base.model,
        base.tokenizer,
        task.pairs,
        task.settings,
        task.seed % (2**31),
        task.folder,
        progress,
    )


def policy_name(weights: np.ndarray) -> str:
    """Name of the adapter trained at weights (d,): percent of each trait, e.g. `lora-60-30-10`."""
    return "lora-" + "-".join(f"{round(100 * w):02d}" for w in weights)


def draw_pairs(
    pool: pd.DataFrame,
    rewards: np.ndarray,
    beta: float,
    weights: np.ndarray,
    draws: int,
    system: str | None,
    texts: dict[str, str],
    max_new_tokens: int,
    seed: int,
) -> tuple[Pair, ...]:
    """Draw answers to every prompt of the pool by the Gibbs policy.

    Repeated draws of one answer become its weight: the same gradient for less work. Draws are
    systematic (Kitagawa 1996, doi:10.2307/1390750): each answer comes within one of as often as its
    probability says.

    Args:
        pool: answers, sorted by prompt.
        rewards: their scores, shape (prompts, samples, d).
        beta: temperature.
        weights: shape (d,).
        draws: per prompt.
        system: system prompt to train under, or None.
        texts: prompts by id.
        max_new_tokens: drawn answers this long did not end by themselves; written ones did.
        seed: of the draws.
    """
    probabilities = GibbsOracle(rewards, beta).policy(weights)
    rng = np.random.default_rng((seed, zlib.crc32(policy_name(weights).encode())))
    starts = rng.random((len(probabilities), 1))
    ends = np.cumsum(probabilities, axis=1) * draws
    ends[:, -1] = draws
    drawn = np.diff(np.ceil(ends - starts), axis=1, prepend=0.0).astype(int)
    pairs = []
    for position in np.flatnonzero(drawn):
        row = pool.iloc[int(position)]
        ended = row["source"] == DEMONSTRATION or bool(row["tokens"] < max_new_tokens)
        weight = float(drawn.flat[int(position)])
        pairs.append(Pair(system, texts[row["prompt_id"]], row["text"], ended, weight))
    return tuple(pairs)
