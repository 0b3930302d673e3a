"""`palm import`: a table of others as a bundle, with a portfolio, certified where prompts allow it.

Prompts are split at random in two halves: members are chosen on one, their gap is bounded on the
other. A table without prompts gives the exact gap of its numbers, and no bound.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from palm_engine._types import Progress, no_progress
from palm_engine.analysis.recommendation import FEWEST_PROMPTS, halves
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import Certificate
from palm_engine.bundle.tables import clusters_of
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.fields import region_centres
from palm_engine.geometry.simplex import named_weights
from palm_engine.pipeline.certify import Evaluated, select_and_certify
from palm_engine.pipeline.config import Selection
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.result import Target
from palm_engine.tables.reward_table import RewardTable
from palm_engine.tables.to_bundle import save_table

# Below this a half tells too little of the other.
SECONDS = 20.0


def import_bundle(
    table: RewardTable,
    out: Path,
    title: str = "",
    k: int = 4,
    seed: int = 0,
    command: str = "",
    progress: Progress = no_progress,
    replace: bool = False,
) -> Bundle:
    """Choose k members of an imported table, certify them where it holds prompts, write a bundle.

    Args:
        table: as imported.
        out: the bundle's folder; its name becomes the bundle's.
        title: what people read; the table's name if empty.
        k: number of members; fewer where there are fewer policies.
        seed: of the split and the resampling.
        command: the command line that imports the same, for the record.
        progress: gets the share done and a sentence.
        replace: take the place of a bundle that holds more, and keep that one beside it.

    Raises:
        InvalidInputError: k is below 1.
        BundleError: `out` holds something that would be lost.
    """
    if k < 1:
        raise InvalidInputError("k must be at least 1")
    k = min(k, len(table.policies))
    certificate: Certificate | None = None
    prompts = table.prompts
    if prompts is not None and table.samples is not None and len(prompts) >= FEWEST_PROMPTS:
        progress(0.1, "Choosing members on one half of the prompts, certifying on the other")
        prompts = split_prompts(prompts, seed)
        costs = (
            {}
            if table.kl_cost is None
            else dict(zip(table.policies, map(float, table.kl_cost), strict=True))
        )
        data = Evaluated(table.policies, {}, table.traits, table.samples, prompts, costs)
        settings = Selection(k=k, seconds=SECONDS)
        steps = iter((0.5, 0.7, 0.85))
        names, certificate = select_and_certify(
            data,
            settings,
            seed,
            done=lambda _: progress(next(steps), "Bounding the gap by resampling prompts"),
        )
    else:
        progress(0.1, "Choosing members")
        found = minimum(table.points, Target(k=k), Options(time_limit=SECONDS))
        names = tuple(table.policies[i] for i in found.members)
    members = _stand_for(table, names)
    progress(0.9, "Writing the bundle")
    if table.record is not None and command:
        table = _with_command(table, command)
    return save_table(table, members, out, title or out.name, certificate, prompts, replace=replace)


def split_prompts(prompts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Prompts with a random half each to choose and to certify on.

    Args:
        prompts: with a column `split`, which is replaced; those of a `cluster` stay together.
        seed: of the draw.
    """
    first, _ = halves(len(prompts), clusters_of(prompts), np.random.default_rng(seed))
    split = np.full(len(prompts), "certify", dtype=object)
    split[first] = "choose"
    return prompts.assign(split=split)


def _stand_for(table: RewardTable, names: tuple[str, ...]) -> dict[str, dict[str, float] | None]:
    points = table.points[[table.row(n) for n in names]]
    centres = region_centres(points)
    return {
        name: None if centre is None else named_weights(centre, table.traits, 6)
        for name, centre in zip(names, centres, strict=True)
    }


def _with_command(table: RewardTable, command: str) -> RewardTable:
    assert table.record is not None
    return replace(table, record=table.record.model_copy(update={"command": command}))
