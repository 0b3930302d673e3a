"""Trait scores of a fresh answer, by the bundle's own rewards."""

from __future__ import annotations

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import TraitInfo
from palm_engine.errors import InvalidInputError
from palm_engine.rewards import reward_for
from palm_engine.rewards.interface import Reward, is_other, scores_of
from palm_engine.rewards.judge import spent_by


class Scorer:
    """Scores single answers with the rewards that the bundle's traits name."""

    def __init__(self, bundle: Bundle) -> None:
        traits = bundle.manifest.traits
        most = bundle.most_tokens
        self.missing = [
            f"{t.name} ({t.reward}{why})" for t in traits if (why := _why_not(t, most)) is not None
        ]
        self._rewards = {
            t.name: reward
            for t in traits
            if not self.missing and (reward := _reward(t, most)) is not None
        }

    def __call__(self, prompt: str, text: str, tokens: int) -> dict[str, float]:
        """Scores in [0, 1] by trait.

        Empty where a trait's reward isn't registered here, or is another than the one that scored
        the bundle's answers (`missing` names them).

        Args:
            prompt: the question.
            text: the answer.
            tokens: its length, in the base model's tokens.

        Raises:
            InvalidInputError: a reward fails, or gives something outside of [0, 1].
            DependencyError: a reward needs the extra 'lm'.
        """
        if self.missing:
            return {}
        return {
            trait: float(scores_of(reward, [prompt], [text], [tokens])[0])
            for trait, reward in self._rewards.items()
        }

    def spent(self) -> list[str]:
        """What judges on servers have read and written since this process began."""
        return spent_by(self._rewards.items())


def _why_not(trait: TraitInfo, most_tokens: int) -> str | None:
    """Why the trait's reward can't score beside the recorded answers, or None where it can."""
    try:
        reward = _reward(trait, most_tokens)
    except InvalidInputError:
        return ", of several with this name"
    if reward is None:
        return ""
    return ", changed since" if is_other(reward, trait.reward_sha256) else None


def _reward(trait: TraitInfo, most_tokens: int) -> Reward | None:
    most = trait.longest(most_tokens)
    return reward_for(trait.name, trait.reward, trait.reward_sha256, most)
