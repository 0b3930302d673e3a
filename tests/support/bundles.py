"""Small bundles made for tests.

Random rewards with a known seed, texts that would do harm if they were markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.manifest import Manifest
from palm_engine.bundle.schema import Reading, ReadPolicy, ReadPreference
from palm_engine.bundle.writing import write_bundle
from palm_engine.geometry.simplex import uniform_design
from palm_engine.oracles.interface import Answers
from palm_engine.oracles.table import TableOracle

TRAITS = ("safety", "humor", "brevity", "warmth", "depth", "rigour", "clarity", "pace")
NASTY = "<script>document.title='owned'</script> ![x](http://example.invalid/x.png) **bold** $x$"


def sphere(count: int, d: int, seed: int) -> np.ndarray:
    """Points on the positive part of the unit sphere, none dominated: shape (count, d)."""
    points = np.abs(np.random.default_rng(seed).normal(size=(count, d)))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


class CountingTable(TableOracle):
    """A table that counts how often it is asked."""

    calls = 0

    def answer(self, weights: np.ndarray) -> Answers:
        self.calls += len(np.atleast_2d(weights))
        return super().answer(weights)


class NoisyTable(TableOracle):
    """A table whose answers are any policy within `eta` of the best, drawn by `rng`."""

    def __init__(self, points: np.ndarray, eta: float, rng: np.random.Generator) -> None:
        super().__init__(points)
        self.tolerance = eta
        self.rng = rng

    def answer(self, weights: np.ndarray) -> Answers:
        values = np.atleast_2d(weights) @ self.points.T
        near = values >= values.max(axis=1, keepdims=True) - self.tolerance
        rows = np.array([self.rng.choice(np.flatnonzero(n)) for n in near])
        chosen = self.points[rows]
        return Answers(chosen, np.einsum("md,md->m", np.atleast_2d(weights), chosen), rows)


def read_blind(
    traits: Sequence[str],
    on_subject: Mapping[str, float],
    preferences: Sequence[ReadPreference] = (),
) -> Reading:
    """A reading of ten answers of each policy, of which so many fit at least in part."""
    policies = tuple(
        ReadPolicy(
            policy=policy, answers=10, fits=0.1, on_subject=share, grades=dict.fromkeys(traits, 1.0)
        )
        for policy, share in on_subject.items()
    )
    return Reading(
        reader="a test",
        split="certify",
        prompts=10,
        policies=policies,
        preferences=tuple(preferences),
        agreement=(),
    )


def make_bundle(
    folder: Path,
    d: int = 3,
    candidates: int = 7,
    members: int = 3,
    texts: bool = True,
    seed: int = 0,
) -> Bundle:
    """Write a valid bundle: `base` and adapters on a sphere, the first `members` adapters kept."""
    traits = TRAITS[:d]
    points = sphere(candidates, d, seed).round(4)
    design = uniform_design(d, candidates, 12)
    entries: list[dict[str, Any]] = [
        {"policy": "base", "kind": "base", "rewards": dict(zip(traits, points[0] / 2, strict=True))}
    ]
    for i in range(1, candidates):
        entries.append(
            {
                "policy": f"m{i}",
                "kind": "adapter",
                "rewards": dict(zip(traits, points[i], strict=True)),
                "weights": dict(zip(traits, design[i - 1], strict=True)),
            }
        )
    kept = [{"policy": e["policy"], "weights": e["weights"]} for e in entries[1 : members + 1]]
    manifest = Manifest.model_validate(
        {
            "name": folder.name,
            "title": "test",
            "traits": [{"name": t, "reward": t, "normalisation": "none"} for t in traits],
            "candidates": entries,
            "members": kept,
            "beta": [0.1],
        }
    )
    tables = {}
    if texts:
        ids = [f"p{i}" for i in range(6)]
        tables["prompts"] = pd.DataFrame(
            {
                "prompt_id": ids,
                "kind": "any",
                "split": ["choose", "certify"] * 3,
                "text": [f"Question {i}?" for i in ids],
            }
        )
        rows = []
        for entry in entries:
            for p in ids:
                text = f"{entry['policy']} on {p}: {NASTY}"
                rows += [
                    {
                        "policy": entry["policy"],
                        "prompt_id": p,
                        "sample_id": s,
                        "tokens": 9,
                        "text": text,
                    }
                    | entry["rewards"]
                    for s in range(2)
                ]
        tables["samples"] = pd.DataFrame(rows)
        draws = np.random.default_rng(seed).random((6, 8, d)).round(3)
        tables["pool"] = pd.DataFrame(
            [
                {"source": "base", "prompt_id": p, "sample_id": s, "text": NASTY, "tokens": 9}
                | dict(zip(traits, map(float, draws[i, s]), strict=True))
                for i, p in enumerate(ids)
                for s in range(8)
            ]
        )
    return write_bundle(folder, manifest, tables)
