"""A further trait for a bundle: its recorded answers and its pool are scored by one more reward.

What was measured over all traits at once doesn't hold for more of them, so the new bundle goes
without it: what the plan expected, the audit, interpolation and the reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from palm_engine.bundle.consistency import require_traits
from palm_engine.bundle.manifest import Manifest
from palm_engine.bundle.schema import Candidate, TraitInfo
from palm_engine.bundle.validation import describe_validation_error
from palm_engine.errors import InvalidInputError
from palm_engine.rewards import reward_for, reward_names
from palm_engine.rewards.interface import Described, fingerprint_of

MOST_TRAITS = 8


@dataclass(frozen=True)
class FurtherTrait:
    """A trait to add.

    Attributes:
        name: of the trait.
        reward: the registered name of what measures it.
    """

    name: str
    reward: str


def with_traits(manifest: Manifest, traits: Sequence[FurtherTrait], most_tokens: int) -> Manifest:
    """The manifest with further traits, before anything is scored.

    Args:
        manifest: of the bundle; isn't changed.
        traits: to add.
        most_tokens: how long its answers may be, for rewards of length.

    Raises:
        InvalidInputError: a name is taken or no name, there are too many, or a reward isn't known.
    """
    infos = (*manifest.traits, *(_info(t, most_tokens) for t in traits))
    if len(infos) > MOST_TRAITS:
        raise InvalidInputError(f"--trait: {len(infos)} traits; a bundle has at most {MOST_TRAITS}")
    try:
        require_traits([t.name for t in infos], manifest.where)
    except ValueError as error:
        raise InvalidInputError(f"--trait: {error}") from error
    names = [t.name for t in traits]
    return manifest.model_copy(
        update={
            "traits": infos,
            "candidates": tuple(_candidate(c, names) for c in manifest.candidates),
            "outside": (),
            "reading": None,
            # Attacks lead at weights of the traits of before.
            "reward_audit": None,
            "interpolation": None,
        }
    )


def without(manifest: Manifest) -> list[str]:
    """What a bundle with a further trait goes without, of what this one has: words for people."""
    parts = {
        "what the plan expected": any(c.planned for c in manifest.candidates),
        "policies left out on purpose": bool(manifest.outside),
        "the reward audit": manifest.reward_audit is not None,
        "the comparison with interpolation": manifest.interpolation is not None,
        "the blind reading": manifest.reading is not None,
    }
    return [words for words, has in parts.items() if has]


def _info(trait: FurtherTrait, most_tokens: int) -> TraitInfo:
    reward = reward_for(trait.name, trait.reward, None, most_tokens)
    if reward is None:
        raise InvalidInputError(
            f"--trait {trait.name!r}: reward {trait.reward!r} is not known; known are"
            f" {', '.join(reward_names())}"
        )
    try:
        return TraitInfo.model_validate(
            {
                "name": trait.name,
                "reward": trait.reward,
                "reward_sha256": fingerprint_of(reward),
                "normalisation": reward.normalisation,
                "card": reward.card if isinstance(reward, Described) else None,
            }
        )
    except ValidationError as error:
        raise InvalidInputError(
            f"--trait {trait.name!r}: {describe_validation_error(error)}"
        ) from error


def _candidate(candidate: Candidate, traits: Sequence[str]) -> Candidate:
    """It was trained without the new traits; its figures are made anew."""
    own = candidate.weights
    weights = None if own is None else own | dict.fromkeys(traits, 0.0)
    return candidate.model_copy(update={"weights": weights, "evaluated": {}, "planned": None})
