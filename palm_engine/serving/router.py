"""Which member answers a user with given weights.

Numpy only, for applications that serve a portfolio.

router = Router.from_file("routing.json")        # written by `palm export vllm`
route = router.pick({"safety": 0.5, "humor": 0.3, "brevity": 0.2})
client.chat.completions.create(model=route.model, messages=route.messages("Tell me a joke."))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palm_engine._json import read_json
from palm_engine.bundle.served import as_text
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.envelope import best_policy
from palm_engine.geometry.simplex import as_weights, weights_of

if TYPE_CHECKING:
    from palm_engine.bundle.folder import Bundle
    from palm_engine.bundle.schema import Candidate

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Route:
    """The picked member.

    Attributes:
        policy: its name.
        model: the name it is served under.
        system: its system prompt.
        value: at the weights.
    """

    policy: str
    model: str
    system: str
    value: float

    def messages(self, prompt: str) -> list[dict[str, str]]:
        """A conversation for an OpenAI-compatible server, its system message explicit.

        A template would add its own. Special tokens in the prompt are broken up, so that they are
        text.
        """
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": as_text(prompt)},
        ]


@dataclass(frozen=True)
class Router:
    """A portfolio's members as points of R^d.

    The pick at w is the one with the largest `w·u`, the first on a tie.
    """

    traits: tuple[str, ...]
    policies: tuple[str, ...]
    models: tuple[str, ...]
    systems: tuple[str, ...]
    points: np.ndarray

    @classmethod
    def of(cls, bundle: Bundle, base_model: str = "base") -> Router:
        """Of a bundle's own members.

        Adapters and soups are served under their policy's name, prompts as `base_model`, policies
        of other servers as what those call them.

        Raises:
            InvalidInputError: nothing is selected in the bundle.
        """
        if not bundle.members:
            raise InvalidInputError(
                f"{bundle.folder}: nothing is selected in this bundle, so nothing can be picked"
            )
        candidates = [bundle.manifest.candidates[i] for i in bundle.members]
        return cls(
            tuple(bundle.traits),
            tuple(c.policy for c in candidates),
            tuple(_model_of(c, base_model) for c in candidates),
            tuple(c.system or "" for c in candidates),
            bundle.points[bundle.members],
        )

    @classmethod
    def from_file(cls, path: str | Path) -> Router:
        """Read a routing file.

        Raises:
            InvalidInputError: naming the file and the field.
        """
        try:
            raw = read_json(Path(path), InvalidInputError, "write it anew with palm export")
            if raw["format_version"] != FORMAT_VERSION:
                raise InvalidInputError(
                    f"{path}: format_version {raw['format_version']} is not {FORMAT_VERSION}"
                )
            members = raw["members"]
            points = np.array([[float(m["point"][t]) for t in raw["traits"]] for m in members])
            policies, models, systems = (
                tuple(str(m[f]) for m in members) for f in ("policy", "model", "system")
            )
            router = cls(tuple(map(str, raw["traits"])), policies, models, systems, points)
        except InvalidInputError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidInputError(
                f"{path}: not a routing file ({error}); write it anew with palm export"
            ) from error
        if not len(points) or not np.isfinite(points).all():
            raise InvalidInputError(
                f"{path}: members: a point for each of at least one member is needed"
            )
        return router

    def as_json(self) -> dict[str, Any]:
        """The routing file's content."""
        fields = zip(self.policies, self.models, self.systems, self.points, strict=True)
        members = [
            {
                "policy": p,
                "model": m,
                "system": s,
                "point": dict(zip(self.traits, map(float, u), strict=True)),
            }
            for p, m, s, u in fields
        ]
        return {"format_version": FORMAT_VERSION, "traits": list(self.traits), "members": members}

    def weights(self, given: Mapping[str, float] | ArrayLike) -> np.ndarray:
        """Effective weights (d,); see `geometry.simplex.weights_of`."""
        return weights_of(given, self.traits)

    def pick(self, given: Mapping[str, float] | ArrayLike) -> Route:
        """The member for some weights.

        Args:
            given: by trait, or shape (d,) in the order of the traits; non-negative, scaled to sum
                1.

        Raises:
            InvalidInputError: weights that make no sense.
        """
        w = self.weights(given)
        best = int(best_policy(self.points, w[None])[0])
        return Route(
            self.policies[best], self.models[best], self.systems[best], float(self.points[best] @ w)
        )

    def pick_many(self, weights: ArrayLike) -> NDArray[np.intp]:
        """The members for many users at once.

        Args:
            weights: shape (m, d), rows summing to 1.

        Returns:
            Places in `policies`, shape (m,).

        Raises:
            InvalidInputError: a row that is not in the simplex.
        """
        w = as_weights(weights, len(self.traits))
        return best_policy(self.points, np.atleast_2d(w))


def parse_weights(text: str, what: str = "--weights") -> dict[str, float] | list[float]:
    """`safety=.5,humor=.3` as a mapping; `5,3,2` as numbers in the order of the traits.

    Args:
        text: as it was given.
        what: it was given as.

    Raises:
        InvalidInputError: naming the part that isn't one.
    """
    parts = [p.strip() for p in text.split(",") if p.strip()]
    how = 'write "TRAIT=NUMBER,TRAIT=NUMBER", or one number per trait: "5,3,2"'
    if not parts:
        raise InvalidInputError(f"{what} is empty: {how}")
    named = any("=" in part for part in parts)
    found: dict[str, float] = {}
    numbers: list[float] = []
    for part in parts:
        trait, _, number = part.rpartition("=")
        try:
            numbers.append(float(number))
        except ValueError:
            raise InvalidInputError(f"{what} {part!r}: {how}") from None
        if named and not trait:
            raise InvalidInputError(f"{what} {part!r}: {how}")
        if named and trait.strip() in found:
            raise InvalidInputError(f"{what}: {trait.strip()!r} stands twice; {how}")
        found[trait.strip()] = numbers[-1]
    return found if named else numbers


def _model_of(candidate: Candidate, base_model: str) -> str:
    if candidate.kind == "remote":
        return candidate.served_model or candidate.policy
    return base_model if candidate.kind in ("base", "prompted") else candidate.policy
