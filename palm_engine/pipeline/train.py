"""Stage 4: one LoRA adapter per planned weights, by reward-weighted regression."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from palm_engine.bundle.names import trained_name
from palm_engine.errors import ConfigError
from palm_engine.lm.settings import TemplateSettings, TrainingSettings
from palm_engine.lm.training import Pair, TrainingReport, train_adapter
from palm_engine.lm.trl_training import Preference, train_dpo, train_grpo
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.pipeline.config import BuildConfig
from palm_engine.pipeline.engines.worker import loaded_base, report_progress
from palm_engine.pipeline.rewards import TraitRewards

DEMONSTRATION = "demonstration"


@dataclass(frozen=True)
class OnlineTask:
    """What an adapter needs that is paid for its own answers while it trains (grpo).

    Attributes:
        prompts: of the users.
        config: names the rewards.
        project: folder that they start from.
        weights: of the traits.
        reward_keys: the rewards' fingerprints: what was trained under others is not current.
    """

    prompts: tuple[str, ...]
    config: BuildConfig
    project: Path
    weights: tuple[float, ...]
    reward_keys: tuple[str, ...]


@dataclass(frozen=True)
class TrainTask:
    """One adapter to train: what is drawn from the pool is drawn, so that a process needs none.

    `start` is the folder of an adapter to go on from, the base otherwise (rwr only). `mark` is of
    everything that the result depends on: only a checkpoint with it is gone on from.
    """

    base: str
    template: TemplateSettings | None
    policy: str
    pairs: tuple[Pair, ...]
    settings: TrainingSettings
    seed: int
    folder: Path
    preferences: tuple[Preference, ...] = ()
    online: OnlineTask | None = None
    start: Path | None = None
    mark: str = ""


def train(task: TrainTask) -> TrainingReport:
    """Train the task's adapter in this process."""
    base = loaded_base(task.base, task.template)
    reported = 0.0

    def progress(share: float) -> None:
        nonlocal reported
        report_progress(share - reported)
        reported = share

    seed = task.seed % (2**31)
    common = (task.settings, seed, task.folder, progress)
    if task.settings.method == "dpo":
        return train_dpo(base.model, base.tokenizer, task.preferences, *common, mark=task.mark)
    if task.online is not None:
        online = task.online
        rewards = TraitRewards.of(online.config, online.project)
        report = train_grpo(
            base.model,
            base.tokenizer,
            online.prompts,
            rewards.score_texts,
            rewards.traits,
            np.array(online.weights),
            task.settings,
            online.config.sampling,
            seed,
            task.folder,
            progress,
            mark=task.mark,
        )
        return replace(report, spent=tuple(rewards.spent()))
    return train_adapter(
        base.model, base.tokenizer, task.pairs, *common, start=task.start, mark=task.mark
    )


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
    rng = np.random.default_rng((seed, zlib.crc32(trained_name(weights).encode())))
    starts = rng.random((len(probabilities), 1))
    ends = np.cumsum(probabilities, axis=1) * draws
    ends[:, -1] = draws
    drawn = np.diff(np.ceil(ends - starts), axis=1, prepend=0.0).astype(int)
    pairs = []
    for position in np.flatnonzero(drawn):
        row = pool.iloc[int(position)]
        ended = _ended(row, max_new_tokens)
        weight = float(drawn.flat[int(position)])
        pairs.append(Pair(system, texts[row["prompt_id"]], row["text"], ended, weight))
    return tuple(pairs)


def _ended(row: pd.Series, max_new_tokens: int) -> bool:
    """Whether an answer of the pool ended by itself."""
    return row["source"] == DEMONSTRATION or bool(row["tokens"] < max_new_tokens)


def draw_preferences(
    pool: pd.DataFrame,
    rewards: np.ndarray,
    beta: float,
    weights: np.ndarray,
    draws: int,
    margin: float,
    system: str | None,
    texts: dict[str, str],
    max_new_tokens: int,
    seed: int,
) -> tuple[Preference, ...]:
    """Draw pairs of answers for DPO: one by the Gibbs policy, one that is worth less.

    Args:
        pool: answers, sorted by prompt.
        rewards: their scores, shape (prompts, samples, d).
        beta: temperature of the Gibbs policy.
        weights: shape (d,).
        draws: per prompt; fewer where no answer is below the chosen one by the margin.
        margin: least difference of value.
        system: system prompt to train under, or None.
        texts: prompts by id.
        max_new_tokens: drawn answers this long did not end by themselves; written ones did.
        seed: of the draws.

    Raises:
        ConfigError: no prompt has two answers that differ by the margin.
    """
    probabilities = GibbsOracle(rewards, beta).policy(weights)
    values = rewards @ weights
    rng = np.random.default_rng((seed, zlib.crc32(trained_name(weights).encode()), 2))
    samples = values.shape[1]
    found = []
    for i, own in enumerate(values):
        for chosen in rng.choice(samples, draws, p=probabilities[i]):
            worse = np.flatnonzero(own <= own[chosen] - max(margin, 1e-9))
            if not len(worse):
                continue
            better = pool.iloc[i * samples + int(chosen)]
            other = pool.iloc[i * samples + int(rng.choice(worse))]
            prompt = texts[better["prompt_id"]]
            ended = [_ended(row, max_new_tokens) for row in (better, other)]
            pair = (str(better["text"]), str(other["text"]))
            found.append(Preference(system, prompt, *pair, *ended))
    if not found:
        raise ConfigError(
            f"training.dpo.margin: no prompt has two answers whose values differ by {margin}; give"
            " a smaller one"
        )
    return tuple(dict.fromkeys(found))
