"""Rewards that count letters, and a bundle on a real tiny model that they scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.writing import write_bundle
from palm_engine.rewards import register_reward
from tests.support.fakes import TRAITS, tiny_base, tiny_bundle


class Letters:
    """Scores the share of some letters, and keeps what it was asked."""

    normalisation = "share"
    asked: list[str] = []  # noqa: RUF012 - shared on purpose: the registry makes the instance

    def __init__(self, letters: str, version: str = "1") -> None:
        self.name, self.letters = f"letters {letters}", letters
        self.fingerprint = f"{letters} {version}"

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> np.ndarray:
        """The share of the letters in each answer."""
        Letters.asked += answers
        return np.array(
            [sum(c in self.letters for c in a.lower()) / max(len(a), 1) for a in answers]
        )


def register(version: str = "1") -> None:
    for letters in ("abcdefgh", "ijklmnopq", "rstuvwxyz"):
        register_reward(
            f"letters {letters}",
            lambda letters=letters: Letters(letters, version),  # type: ignore[misc]
        )


def lettered_bundle(tmp_path: Path) -> Bundle:
    """The tiny bundle on a real folder, with choose and certify prompts and letter rewards."""
    register()
    base = tiny_base(tmp_path / "base")
    made = tiny_bundle(tmp_path / "portfolios" / "tiny")
    from palm_engine.lm.base_model.places import fingerprint

    names = ("letters abcdefgh", "letters ijklmnopq", "letters rstuvwxyz")
    traits = tuple(
        t.model_copy(update={"reward": name})
        for t, name in zip(made.manifest.traits, names, strict=True)
    )
    content = made.manifest.model_copy(
        update={
            "base": made.manifest.base.model_copy(  # type: ignore[union-attr]
                update={"source": str(base), "fingerprint": fingerprint(base)}
            ),
            "traits": traits,
        }
    )
    prompts = pd.DataFrame(
        [
            (f"{split}-{i}", split, f"Say {split} {i}?")
            for split in ("choose", "certify")
            for i in range(3)
        ],
        columns=["prompt_id", "split", "text"],
    )
    rows = [
        (c.policy, p, s, f"{c.policy} on {p} {s}", 3)
        for c in content.candidates
        for p in prompts["prompt_id"]
        for s in range(2)
    ]
    samples = pd.DataFrame(rows, columns=["policy", "prompt_id", "sample_id", "text", "tokens"])
    for trait, name in zip(TRAITS, names, strict=True):
        samples[trait] = Letters(name.split()[1]).score([], list(samples["text"]), [])
    adapters = {c.policy: made.folder / c.adapter for c in content.candidates if c.adapter}
    ready = tmp_path / "portfolios" / "ready"
    found = write_bundle(ready, content, {"prompts": prompts, "samples": samples}, adapters)
    return whole(found)


def whole(bundle: Bundle) -> Bundle:
    """The bundle with its tables read: they are on first use, and the folder is about to change."""
    assert len(bundle.samples)
    assert len(bundle.prompts)
    return bundle
