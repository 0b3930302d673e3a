"""Trait scores of a fresh answer, by the bundle's own rewards."""

from __future__ import annotations

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import TraitInfo


class Scorer:
    """Scores single answers with the rewards that the bundle's traits name."""

    def __init__(self, bundle: Bundle) -> None:
        self._rewards = {t.name: t.reward for t in bundle.manifest.traits}
        self.missing = [
            f"{t.name} ({t.reward}{why})"
            for t in bundle.manifest.traits
            if (why := _why_not(t)) is not None
        ]

    def __call__(self, prompt: str, text: str, tokens: int) -> dict[str, float]:
        """Scores in [0, 1] by trait.

        Empty where a trait's reward isn't registered here, or is another than the one that scored
        the bundle's answers (`missing` names them).

        `tokens` is the answer's length in the base model's tokens. Raises DependencyError without
        the extra 'lm'.
        """
        if self.missing:
            return {}
        from palm_engine.rewards import get_reward

        return {
            trait: float(get_reward(reward).score([prompt], [text], [tokens])[0])
            for trait, reward in self._rewards.items()
        }


def _why_not(trait: TraitInfo) -> str | None:
    """Why the trait's reward can't score beside the recorded answers, or None where it can."""
    from palm_engine.rewards import get_reward, reward_names
    from palm_engine.rewards.interface import is_other

    if trait.reward not in reward_names():
        return ""
    changed = is_other(get_reward(trait.reward), trait.reward_sha256)
    return ", changed since" if changed else None
