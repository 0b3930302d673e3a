"""Whether a build fits the model's context and the device's memory, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from palm_engine.errors import ConfigError
from palm_engine.pipeline.config import BuildConfig

# What a chat template puts around a question, at least.
TEMPLATE_TOKENS = 8


def require_context(config: BuildConfig, prompts: pd.DataFrame, base: Path) -> None:
    """Check that the longest prompt, with its longest system prompt and answer, can be read.

    Args:
        config: of the build.
        prompts: with their texts.
        base: folder of the base model.

    Raises:
        ModelSourceError: the base's configuration can't be read.
        ConfigError: it is longer than the model's context; names prompt and figures.
    """
    from palm_engine.lm.base_model.load import token_counter
    from palm_engine.lm.base_model.places import shape_of

    most = shape_of(base).get("max_position_embeddings")
    if most is None:
        return
    count = token_counter(base)
    systems = ["", config.training.system or "", *(s.system for s in config.styles)]
    systems += [p.system for p in config.policies]
    lengths = count(list(prompts["text"]))
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    around = max(count(systems))
    needed = lengths[longest] + around + TEMPLATE_TOKENS + config.sampling.max_new_tokens
    if needed > most:
        raise ConfigError(
            f"prompt {prompts['prompt_id'].iloc[longest]!r}: {lengths[longest]:,} tokens, a system"
            f" prompt of {around:,}, sampling.max_new_tokens {config.sampling.max_new_tokens:,} and"
            f" the template's are {needed:,} tokens; the model reads {most:,} at most"
        )


@dataclass(frozen=True)
class Room:
    """What is to fit into a device's memory.

    Attributes:
        config: of the build; says how many processes there are and how much each draws at once.
        prompts: with their texts.
        base: folder of the base model.
        alone: one process has the device for itself, as on a cluster.
    """

    config: BuildConfig
    prompts: pd.DataFrame
    base: Path
    alone: bool = False


def device_dtype(_: None) -> str:
    """The number format that this process would use, which draws depend on."""
    from palm_engine.lm.devices import build_dtype, pick_device, pick_dtype

    device = pick_device()
    return str(pick_dtype(device, build_dtype(device)))


def require_memory(room: Room) -> None:
    """Check that the processes that draw fit, all at once and at their longest prompt.

    Args:
        room: that they need.

    Raises:
        ModelSourceError: the base's configuration can't be read.
        ConfigError: they don't; names the figures and what would fit.
    """
    from palm_engine.lm import memory
    from palm_engine.lm.base_model.places import shape_of
    from palm_engine.lm.base_model.source import parameter_count
    from palm_engine.lm.devices import build_dtype, pick_device, pick_dtype

    config = room.config
    base = room.base
    _require_memory_of_bounds(config)
    device = pick_device()
    dtype = str(pick_dtype(device, build_dtype(device))).removeprefix("torch.")
    systems = [s.system for s in config.styles] + [p.system or "" for p in config.policies]
    letters = int(room.prompts["text"].str.len().max()) + max(map(len, systems), default=0)
    # An adapter answers from a copy of the base with its weights changed, beside the base itself.
    copies = 2 if config.train or any(p.adapter for p in config.policies) else 1
    # A mixture runs each answer once per part.
    passes = max((len(p.mixture) for p in config.policies if p.mixture is not None), default=1)
    needed = memory.estimate(
        copies * parameter_count(str(base)),
        dtype,
        0,
        shape_of(base),
        passes * config.run.batch_size,
        letters // memory.LETTERS_PER_TOKEN,
        config.sampling.max_new_tokens,
        memory.free_bytes(device),
    )
    workers = 1 if room.alone else config.run.workers
    if needed.free is None or workers * needed.total <= needed.free:
        return
    ways = []
    for count in dict.fromkeys((workers, 1)):
        share = memory.Estimate(
            needed.weights, needed.adapters, needed.row, needed.rows, needed.free // count
        )
        rows = share.most_rows(passes * config.run.batch_size) // passes
        if rows:
            ways.append(f"run.workers = {count} with run.batch_size = {rows}")
    raise ConfigError(
        f"run: {workers} processes that draw {config.run.batch_size} answers at once need about"
        f" {workers * needed.total / 1e9:.1f} GB on {device}, and {needed.free / 1e9:.1f} GB are"
        f" free. What would fit: {' or '.join(ways) or 'a smaller base, or another device'}."
    )


def _require_memory_of_bounds(config: BuildConfig) -> None:
    """Check that the resampled rewards fit, from which bounds are read at the end.

    Raises:
        ConfigError: they don't; names the figures and what would fit.
    """
    from palm_engine.lm import memory

    given = 1 + len(config.styles) + len(config.policies)
    trained = config.plan.adapters + 2 * config.plan.baseline_size + config.soups.count
    figures = (given + config.train * trained) * len(config.traits)
    free = memory.free_bytes("cpu")
    # Twice: members are compared with the best single policy on the same draws.
    needed = 2 * 8 * figures * config.selection.resamples
    if free is not None and needed > free:
        raise ConfigError(
            f"selection.resamples: {config.selection.resamples:,} times {figures:,} mean rewards"
            f" need {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; ask for at most"
            f" {free // (2 * 8 * figures):,}"
        )
