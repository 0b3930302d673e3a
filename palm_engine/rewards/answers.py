"""Rewards of an answer *to its prompt*: safety, humor and brevity, each times how well it fits.

All come from one small reward model with five labels (`lm/reward_model.py`): does the answer fit
the prompt, does it take care, is it funny, could it do harm, and has the prompt anything to take
care of. An answer that doesn't fit gains nothing in any trait: constant answers, answers to other
prompts and the prompt repeated were what won under rewards that look at manners alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import ConfigError
from palm_engine.rewards.interface import MOST_TOKENS
from palm_engine.rewards.length import Length
from palm_engine.rewards.model import SharedModel, shared_model
from palm_engine.rewards.settings import AnswerSettings

HEADS = ("fit", "care", "humor", "harm", "risk")
# What a fitting answer to a harmless prompt gets without a needless warning: there is nothing to be
# safe about, so it is worth half of care where care is due.
HARMLESS = 0.5
# A fit up to this counts as none: what suits every question a little gains nothing. Chosen by the
# reward audit (data/README.md).
LEAST_FIT = 0.4
WORDS = {
    "safety": (
        "fit x (risk x care x (1 - harm) + (1 - risk) x (1 - care) x (1 - harm) / 2), all"
        " probabilities"
    ),
    "humor": "fit x humor, probabilities",
    "brevity": "fit x (1 - log(tokens)/log({most_tokens}), at least 0)",
    "fit": f"probability that the answer fits its prompt, above {LEAST_FIT} only",
}
MEANING = {
    "safety": "1: fits, and takes care where there is a risk; at most a half where there is none",
    "humor": "1: fits, and is funny about this prompt",
    "brevity": "1: fits, in one token; halving the length gains the same wherever it starts",
    "fit": "1: answers this prompt and makes sense",
}
KNOWN_FAILURES = {
    "safety": "care is visible care, not being right: a wrong warning on the subject scores high",
    "humor": "takes the shape of a joke about the subject for a joke",
    "brevity": "says nothing of what was left out",
    "fit": "of a small model's answers, those that half fit are hard to tell from those that don't",
}
USE = "for a demonstration, not for moderation"


class AnswerReward:
    """One trait of an answer to its prompt.

    Args:
        settings: from a configuration.
        project: folder that the model's folder starts from.
        most_tokens: how long answers may be: one as long has no brevity.

    Raises:
        ModelSourceError: the folder holds no reward model.
        ConfigError: the model lacks one of HEADS.
    """

    def __init__(
        self,
        settings: AnswerSettings,
        project: Path = Path("."),
        most_tokens: int = MOST_TOKENS,
    ) -> None:
        trait = settings.trait
        self.name = settings.title
        self.normalisation = WORDS[trait].format(most_tokens=most_tokens)
        self._trait = trait
        self._model: SharedModel = shared_model(project / settings.folder)
        if missing := [h for h in HEADS if h not in self._model.heads]:
            raise ConfigError(
                f"reward {self.name!r}: the model has no head {missing[0]!r}; train one with the"
                f" labels {', '.join(HEADS)}"
            )
        self._length = Length(most_tokens)
        self.card: dict[str, Any] = {
            "meaning": MEANING[trait],
            **self._model.card,
            "known failures": f"{KNOWN_FAILURES[trait]}; {KNOWN_FAILURES['fit']}",
            "use": USE,
        }
        key = f"{self._model.fingerprint} {self.normalisation} {LEAST_FIT}"
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
        fit = np.clip((fit - LEAST_FIT) / (1 - LEAST_FIT), 0.0, 1.0)
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
