"""Trait scores of a fresh answer, by the bundle's own rewards."""

from __future__ import annotations

from palm_engine.bundle.folder import Bundle


class Scorer:
    """Scores single answers with the rewards that the bundle's traits name."""

    def __init__(self, bundle: Bundle) -> None:
        from palm_engine.rewards import reward_names

        self._rewards = {t.name: t.reward for t in bundle.manifest.traits}
        known = reward_names()
        self.missing = [f"{t} ({r})" for t, r in self._rewards.items() if r not in known]

    def __call__(self, prompt: str, text: str, tokens: int) -> dict[str, float]:
        """Scores in [0, 1] by trait.

        Empty where a trait's reward isn't registered here (`missing` names them).

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
