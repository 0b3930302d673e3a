"""A reward table and its portfolio as a bundle that the dashboard opens: no adapters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.limits import Limits
from palm_engine.bundle.manifest import Manifest
from palm_engine.bundle.schema import Certificate, InSampleBound
from palm_engine.bundle.writing import write_bundle
from palm_engine.geometry.simplex import named_weights
from palm_engine.tables.reward_table import RewardTable


def save_table(
    table: RewardTable,
    members: dict[str, dict[str, float] | None],
    folder: Path,
    title: str,
    certificate: Certificate | None = None,
    prompts: pd.DataFrame | None = None,
    limits: Limits | None = None,
    in_sample: InSampleBound | None = None,
    replace: bool = False,
) -> Bundle:
    """Write a bundle.

    Args:
        table: the rewards of all candidates.
        members: the weights that each member stands for, by policy; None where it is never picked.
        folder: the bundle's folder; its name becomes the bundle's.
        title: what people read.
        certificate: of the members, where prompts were split for it.
        prompts: the table's, with the split that each is in; as in the table if not given.
        limits: what counted in the choice of the members.
        in_sample: the bound on their gap from the prompts that they were chosen on.
        replace: take the place of a bundle that holds more, and keep that one beside it.

    Raises:
        BundleError: the folder holds something that would be lost.
    """
    prompts = table.prompts if prompts is None else prompts
    by_split = _by_split(table, prompts)
    certified = {} if certificate is None else by_split["certify"]
    even = dict.fromkeys(table.traits, 1 / len(table.traits))
    manifest = Manifest.model_validate(
        {
            "name": folder.name,
            "title": title,
            "value": "reward" if table.kl_cost is None else "reward_minus_kl",
            "traits": [_trait(table, t) for t in table.traits],
            "candidates": [
                {
                    "policy": policy,
                    "display_name": table.labels.get(policy, ""),
                    "warning": table.warnings.get(policy, ""),
                    "kind": "base" if policy == "base" else "remote",
                    "role": "base" if policy == "base" else "",
                    "rewards": certified.get(policy)
                    or named_weights(table.rewards[i], table.traits, 17),
                    "evaluated": {s: rows[policy] for s, rows in by_split.items()},
                    "kl_cost": 0.0 if table.kl_cost is None else float(table.kl_cost[i]),
                }
                for i, policy in enumerate(table.policies)
            ],
            "members": [
                {"policy": policy, "weights": weights or even}
                for policy, weights in members.items()
            ],
            "certificate": certificate,
            "in_sample": in_sample,
            "imported": table.record,
            # Of a table it isn't known what its costs are.
            "cost_name": "cost",
            **asdict(limits or Limits()),
        }
    )
    tables = {}
    if prompts is not None and table.samples is not None:
        tables = {"prompts": prompts, "samples": table.samples}
    return write_bundle(folder, manifest, tables, replace=replace)


def _trait(table: RewardTable, trait: str) -> dict[str, str]:
    record = table.record
    named = {"name": trait, "display_name": table.trait_labels.get(trait, ""), "reward": trait}
    if record is None:
        return named | {"normalisation": "as in the table"}
    words = record.normalisation[trait]
    return named | {
        "direction": "lower" if "lower is better" in words else "higher",
        "normalisation": words,
    }


def _by_split(
    table: RewardTable, prompts: pd.DataFrame | None
) -> dict[str, dict[str, dict[str, float]]]:
    """Mean rewards by split, policy and trait, where prompts are split."""
    if prompts is None or table.samples is None or prompts["split"].nunique() < 2:
        return {}
    split = table.samples["prompt_id"].map(prompts.set_index("prompt_id")["split"])
    rows = table.samples.assign(split=split)
    by_prompt = rows.groupby(["split", "policy", "prompt_id"], observed=True)[table.traits].mean()
    means = by_prompt.groupby(level=["split", "policy"], observed=True).mean().clip(0.0, 1.0)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in means.reset_index().to_dict("records"):
        rewards = {t: float(row[t]) for t in table.traits}
        found.setdefault(str(row["split"]), {})[str(row["policy"])] = rewards
    return found
