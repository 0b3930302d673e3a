"""A reward times a gate: an answer that the gate scores 0 gains nothing, whatever it is else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from palm_engine._types import Floats
from palm_engine.rewards.interface import Reward, fingerprint_of, scores_of


class Gated:
    """`reward x gate`, both in [0, 1]."""

    def __init__(self, reward: Reward, gate: Reward) -> None:
        self.reward = reward
        self.gate = gate
        self.name = f"{reward.name} x {gate.name}"
        self.normalisation = f"({reward.normalisation}) x ({gate.normalisation})"
        self.card = {
            f"{which}: {key}": value
            for which, part in (("reward", reward), ("gate", gate))
            for key, value in getattr(part, "card", {}).items()
        }
        both = fingerprint_of(reward) + fingerprint_of(gate)
        self.fingerprint = hashlib.sha256(both.encode()).hexdigest()

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> Floats:
        """Scores in [0, 1], shape (n,)."""
        parts = (scores_of(part, prompts, answers, tokens) for part in (self.reward, self.gate))
        first, second = parts
        return first * second
