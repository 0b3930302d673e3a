"""Linear probes on sentence embeddings: a reward of one's own, fitted in seconds.

A probe looks at the answer, the prompt or their elementwise product. Weights and card are one JSON
file. Cheap, and easily fooled: `palm rewards audit` says how far.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_engine._json import read_json
from palm_engine._types import Floats
from palm_engine.errors import ConfigError, InvalidInputError
from palm_engine.rewards.embedding import DIMENSION, embed


@dataclass(frozen=True)
class LinearProbe:
    """Logistic score of a linear function of embeddings: `sigmoid(x·coefficients + intercept)`."""

    name: str
    features: tuple[str, ...]
    coefficients: NDArray[np.float64]
    intercept: float
    card: dict[str, Any]
    normalisation: str = "sigmoid of a linear probe on all-MiniLM-L6-v2 embeddings"

    @property
    def fingerprint(self) -> str:
        """Hash of its features and numbers."""
        digest = hashlib.sha256(repr((self.features, self.intercept)).encode())
        digest.update(np.ascontiguousarray(self.coefficients).tobytes())
        return digest.hexdigest()

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> Floats:
        """Scores in [0, 1], shape (n,)."""
        if not len(answers):
            return np.zeros(0)
        x = probe_features(
            self.features, embed(prompts) if "prompt" in self.features else None, embed(answers)
        )
        return self.score_features(x)

    def score_features(self, x: NDArray[np.floating[Any]]) -> Floats:
        """Scores of features that are computed already.

        Args:
            x: shape (n, features).

        Returns:
            In [0, 1], shape (n,).
        """
        return np.asarray(
            1.0 / (1.0 + np.exp(-(x @ self.coefficients + self.intercept))), dtype=np.float64
        )


def probe_features(
    features: Sequence[str], prompts: NDArray[np.float32] | None, answers: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The named blocks of features side by side, scaled to comparable spread.

    Args:
        features: names of the blocks: answer, prompt, product.
        prompts: embeddings, shape (n, 384), or None where no block needs them.
        answers: embeddings, shape (n, 384).

    Raises:
        InvalidInputError: a block needs the prompts.
    """
    blocks = []
    for feature in features:
        if feature == "answer":
            blocks.append(answers)
        elif prompts is None:
            raise InvalidInputError(f"feature {feature!r} needs prompt embeddings")
        else:
            # The product of two unit vectors has entries about 20 times smaller than theirs.
            blocks.append(prompts if feature == "prompt" else 20.0 * prompts * answers)
    return np.hstack(blocks).astype(np.float32)


def read_probe(file: Path) -> LinearProbe:
    """A probe from its file.

    Raises:
        ConfigError: the file is no probe.
    """
    try:
        raw = read_json(file, ConfigError, "write one with palm rewards fit")
        features = tuple(raw["features"])
        coefficients = np.array(raw["coefficients"], dtype=float)
        probe = LinearProbe(
            file.name.removesuffix(".json"),
            features,
            coefficients,
            float(raw["intercept"]),
            dict(raw["card"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ConfigError(
            f"{file}: no probe ({type(error).__name__}: {error}); write one with palm rewards fit"
        ) from error
    known = {"answer", "prompt", "product"}
    if not features or not set(features) <= known:
        raise ConfigError(f"{file}: features: must be of {', '.join(sorted(known))}")
    if coefficients.shape != (DIMENSION * len(features),) or not np.isfinite(coefficients).all():
        raise ConfigError(
            f"{file}: coefficients: {DIMENSION * len(features)} finite numbers are needed"
        )
    return probe
