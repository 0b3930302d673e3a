"""A reward table and its portfolio as a bundle that the dashboard opens: no texts, no adapters."""

from __future__ import annotations

from pathlib import Path

from palm_engine.bundle.folder import Bundle, write_bundle
from palm_engine.bundle.schema import Manifest
from palm_engine.geometry.simplex import named_weights
from palm_engine.tables.reward_table import RewardTable


def save_table(
    table: RewardTable,
    members: dict[str, dict[str, float] | None],
    folder: Path,
    title: str,
) -> Bundle:
    """Write a bundle.

    Args:
        table: the rewards of all candidates.
        members: the weights that each member stands for, by policy; None where it is never picked.
        folder: the bundle's folder; its name becomes the bundle's.
        title: what people read.

    Raises:
        BundleError: the folder holds something that would be lost.
    """
    even = dict.fromkeys(table.traits, 1 / len(table.traits))
    manifest = Manifest.model_validate(
        {
            "name": folder.name,
            "title": title,
            "value": "reward" if table.kl_cost is None else "reward_minus_kl",
            "traits": [
                {"name": t, "reward": t, "normalisation": "as in the table"} for t in table.traits
            ],
            "candidates": [
                {
                    "policy": policy,
                    "kind": "base" if policy == "base" else "adapter",
                    "rewards": named_weights(table.rewards[i], table.traits, 17),
                    "kl_cost": 0.0 if table.kl_cost is None else float(table.kl_cost[i]),
                }
                for i, policy in enumerate(table.policies)
            ],
            "members": [
                {"policy": policy, "weights": weights or even}
                for policy, weights in members.items()
            ],
        }
    )
    return write_bundle(folder, manifest, {})
