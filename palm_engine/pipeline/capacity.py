"""Whether a build's processes fit the memory of the device, before anything is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from palm_engine.errors import ConfigError
from palm_engine.pipeline.config import BuildConfig


def require_memory(config: BuildConfig, prompts: pd.DataFrame, base: Path) -> None:
    """Check that the processes that draw fit, all at once and at their longest prompt.

    Args:
        config: of the build; says how many processes there are and how much each draws at once.
        prompts: with their texts.
        base: folder of the base model.

    Raises:
        ConfigError: they don't; names the figures and what would fit.
    """
    from palm_engine.lm import memory
    from palm_engine.lm.base_model.source import parameter_count
    from palm_engine.lm.devices import build_dtype, pick_device, pick_dtype

    device = pick_device()
    dtype = str(pick_dtype(device, build_dtype(device))).removeprefix("torch.")
    systems = [s.system for s in config.styles] + [p.system or "" for p in config.policies]
    letters = int(prompts["text"].str.len().max()) + max(map(len, systems), default=0)
    # An adapter answers from a copy of the base with its weights changed, beside the base itself.
    copies = 2 if config.train or any(p.adapter for p in config.policies) else 1
    needed = memory.estimate(
        copies * parameter_count(str(base)),
        dtype,
        0,
        json.loads((base / "config.json").read_text(encoding="utf-8")),
        config.run.batch_size,
        letters // memory.LETTERS_PER_TOKEN,
        config.sampling.max_new_tokens,
        memory.free_bytes(device),
    )
    workers = config.run.workers
    if needed.free is None or workers * needed.total <= needed.free:
        return
    ways = []
    for count in dict.fromkeys((workers, 1)):
        share = memory.Estimate(
            needed.weights, needed.adapters, needed.row, needed.rows, needed.free // count
        )
        rows = share.most_rows(config.run.batch_size)
        if rows:
            ways.append(f"run.workers = {count} with run.batch_size = {rows}")
    raise ConfigError(
        f"run: {workers} processes that draw {config.run.batch_size} answers at once need about"
        f" {workers * needed.total / 1e9:.1f} GB on {device}, and {needed.free / 1e9:.1f} GB are"
        f" free. What would fit: {' or '.join(ways) or 'a smaller base, or another device'}."
    )
