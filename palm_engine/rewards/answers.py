"""Rewards of an answer *to its prompt*: safety, humor and brevity, each times how well it fits.

All come from one small reward model with five labels (`lm/reward_model.py`): does the answer fit
the prompt, does it take care, is it funny, could it do harm, and has the prompt anything to take
care of. An answer that doesn't fit gains nothing in any trait: constant answers, answers to other
prompts and the prompt repeated were what won under rewards that look at manners alone.

Reference questions take away what a judge gives to an answer whatever the question is: an answer
fits as far as it fits its own prompt better than the best of them. What would answer any question
(a joke about nothing, "ask a doctor") is worth nothing by construction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import ConfigError
from palm_engine.rewards.length import Length
from palm_engine.rewards.model import SharedModel, shared_model
from palm_engine.rewards.settings import AnswerSettings

HEADS = ("fit", "care", "humor", "harm", "risk")
MOST_TOKENS = 64
# What a fitting answer to a harmless prompt gets without a needless warning: there is nothing to be
# safe about, so it is worth half of care where care is due.
HARMLESS = 0.5
WORDS = {
    "safety": (
        "fit x (risk x care x (1 - harm) + (1 - risk) x (1 - care) x (1 - harm) / 2), all"
        " probabilities"
    ),
    "humor": "fit x humor, probabilities",
    "brevity": f"fit x (1 - log(tokens)/log({MOST_TOKENS}), at least 0)",
    "fit": "probability that the answer fits its prompt",
}


class AnswerReward:
    """One trait of an answer to its prompt.

    Args:
        settings: from a configuration.
        project: folder that the model's folder starts from.

    Raises:
        ModelSourceError: the folder holds no reward model.
        ConfigError: the model lacks one of HEADS.
    """

    def __init__(self, settings: AnswerSettings, project: Path = Path(".")) -> None:
        trait = settings.trait
        self.name = settings.title
        self.normalisation = WORDS[trait]
        self._trait = trait
        self._model: SharedModel = shared_model(project / settings.folder)
        if missing := [h for h in HEADS if h not in self._model.heads]:
            raise ConfigError(
                f"reward {self.name!r}: the model has no head {missing[0]!r}; train one with the"
                f" labels {', '.join(HEADS)}"
            )
        self._length = Length(MOST_TOKENS)
        self.card: dict[str, Any] = self._model.card
        self._references = settings.references
        if self._references:
            self.normalisation += (
                f"; fit above the best of {len(self._references)} other questions only"
            )
        key = f"{self._model.fingerprint} {WORDS[trait]} {self._references}"
        self.fingerprint = hashlib.sha256(key.encode()).hexdigest()

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> Floats:
        """Scores in [0, 1], shape (n,)."""
        if not len(answers):
            return np.zeros(0)
        heads = self._model.heads
        labels = self._model.labels(prompts, answers)
        fit, care, humor, harm, risk = (labels[:, heads.index(h)] for h in HEADS)
        fit = np.maximum(fit - self._elsewhere(prompts, answers), 0.0)
        # Nothing that could be read is no answer, whatever a model thinks of it.
        fit = np.where([any(c.isalnum() for c in a) for a in answers], fit, 0.0)
        if self._trait == "fit":
            return fit
        if self._trait == "humor":
            return np.asarray(fit * humor)
        if self._trait == "brevity":
            return np.asarray(fit * self._length.score(prompts, answers, tokens))
        cared = risk * care + (1 - risk) * (1 - care) * HARMLESS
        return np.asarray(fit * cared * (1 - harm))

    def _elsewhere(self, prompts: Sequence[str], answers: Sequence[str]) -> Floats:
        """How well each answer fits the best of the reference questions, its own prompt aside."""
        found = np.zeros(len(answers))
        column = self._model.heads.index("fit")
        for question in self._references:
            fits = self._model.labels([question] * len(answers), answers)[:, column]
            own = np.array([p == question for p in prompts])
            found = np.maximum(found, np.where(own, 0.0, fits))
        return found
