"""One head of a small reward model as a reward (`lm/reward_model.py`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from palm_engine._json import read_json
from palm_engine._types import Floats
from palm_engine.errors import ConfigError, ModelSourceError
from palm_engine.rewards.settings import ModelSettings

_MOST_KNOWN = 50_000
_HINT = "write one with palm rewards train"


class ModelReward:
    """The probability that a reward model gives to one label.

    Heads of one model share its passes: a pair is read once for all traits.

    Args:
        settings: from a configuration.
        project: folder that the model's folder starts from.

    Raises:
        ModelSourceError: the folder holds no reward model.
        ConfigError: it has no such head.
    """

    def __init__(self, settings: ModelSettings, project: Path = Path(".")) -> None:
        self.name = settings.title
        self._shared = shared_model(project / settings.folder)
        self._invert = settings.invert
        if settings.head not in self._shared.heads:
            raise ConfigError(
                f"reward {self.name!r}: no head {settings.head!r}; the model has"
                f" {', '.join(self._shared.heads)}"
            )
        self._head = self._shared.heads.index(settings.head)
        self.normalisation = f"{'1 - ' if settings.invert else ''}probability of {settings.head}"
        self.card = self._shared.card
        key = f"{self._shared.fingerprint} {settings.head} {settings.invert}"
        self.fingerprint = hashlib.sha256(key.encode()).hexdigest()

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> Floats:
        """Scores in [0, 1], shape (n,)."""
        found = self._shared.labels(prompts, answers)[:, self._head]
        return 1.0 - found if self._invert else found


class SharedModel:
    """A reward model's labels of (prompt, answer), each pair read once per process.

    The model itself is loaded when the first pair is scored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            content = read_json(folder / "card.json", ModelSourceError, _HINT)
            files = ("adapter_model.safetensors", "heads.safetensors", "adapter_config.json")
            made_of = [(folder / name).read_bytes() for name in files]
            # Whose base it is, and how much of an answer it reads.
            made_of += [
                json.dumps([content["settings"], content["fingerprint"]], sort_keys=True).encode()
            ]
            self.heads: tuple[str, ...] = tuple(content["settings"]["heads"])
            self.card: dict[str, Any] = dict(content["card"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelSourceError(
                f"{folder}: no reward model ({type(error).__name__}: {error}); {_HINT}"
            ) from error
        self.fingerprint = hashlib.sha256(b"".join(made_of)).hexdigest()
        self._known: dict[tuple[str, str], Floats] = {}
        self._model: Any = None

    def labels(self, prompts: Sequence[str], answers: Sequence[str]) -> Floats:
        """Probabilities of all heads, shape (n, heads)."""
        pairs = list(zip(prompts, answers, strict=True))
        if not pairs:
            return np.zeros((0, len(self.heads)))
        missing = list(dict.fromkeys(p for p in pairs if p not in self._known))
        if missing:
            if len(self._known) + len(missing) > _MOST_KNOWN:
                self._known.clear()
                missing = list(dict.fromkeys(pairs))
            if self._model is None:
                from palm_engine.lm.reward_model import load_reward_model

                self._model = load_reward_model(self.folder)
            asked, given = zip(*missing, strict=True)
            self._known.update(zip(missing, self._model.scores(asked, given), strict=True))
        return np.stack([self._known[p] for p in pairs])


@lru_cache(maxsize=4)
def shared_model(folder: Path) -> SharedModel:
    """The reward model of a folder, one per process."""
    return SharedModel(folder)
