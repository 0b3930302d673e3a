"""What is known of a user's weights after some pairwise answers: a posterior over the simplex.

Bradley-Terry: the first answer is preferred with odds exp(w·(v_1 - v_2) / tau). Ties after Davidson
(1970, doi:10.1080/01621459.1970.10481082): "equal" has odds `ties` against the geometric mean of
the other two. Particles start uniform; where few carry the weight they are drawn anew and moved by
Metropolis steps under all answers so far (Chopin 2002, doi:10.1093/biomet/89.3.539).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import sample_uniform

Outcome = Literal["first", "second", "equal"]
OUTCOMES: tuple[Outcome, ...] = ("first", "second", "equal")
_MOVES = 5
# Share of particles that must carry the weight, or they are drawn anew.
_LEAST_EFFECTIVE = 0.25


@dataclass(frozen=True)
class AnswerModel:
    """How users answer.

    Attributes:
        tau: a difference in value at which odds are e to 1; above 0, in units of value.
        ties: odds of "equal" between answers of one value; 0: nobody says so.
    """

    tau: float = 0.1
    ties: float = 1.0

    def __post_init__(self) -> None:
        if not self.tau > 0 or not self.ties >= 0:
            raise InvalidInputError(
                f"tau must be above 0 and ties at least 0, got {self.tau} and {self.ties}"
            )

    def log_probabilities(self, difference: Floats) -> Floats:
        """Log probabilities of OUTCOMES.

        Args:
            difference: value of the first answer minus that of the second, any shape.

        Returns:
            The same shape, and an axis of length 3 at its end; -inf for "equal" without ties.
        """
        half = np.asarray(difference, dtype=float) / (2 * self.tau)
        with np.errstate(divide="ignore"):
            equal = np.full(half.shape, np.log(self.ties))
        scores = np.stack([half, -half, equal], axis=-1)
        most = np.abs(half)[..., None]
        most = np.maximum(most, equal[..., None])
        total = most + np.log(np.exp(scores - most).sum(axis=-1, keepdims=True))
        return np.asarray(scores - total)


@dataclass(frozen=True)
class Posterior:
    """Weighted particles on the simplex.

    Attributes:
        particles: weights of users, shape (n, d).
        mass: non-negative, summing to 1, shape (n,).
    """

    particles: Floats
    mass: Floats

    @property
    def mean(self) -> Floats:
        """The mean weights, shape (d,)."""
        return np.asarray(self.mass @ self.particles)

    @property
    def effective(self) -> float:
        """Effective number of particles, 1 to n."""
        return float(1 / (self.mass**2).sum())


def posterior(
    differences: Floats,
    outcomes: Sequence[Outcome],
    d: int,
    model: AnswerModel = AnswerModel(),
    count: int = 4000,
    seed: int = 0,
    region: Region | None = None,
) -> Posterior:
    """The posterior after some answers; deterministic given the seed.

    Args:
        differences: rewards of the first answer minus those of the second, shape (m, d).
        outcomes: m of them.
        d: number of traits.
        model: how users answer.
        count: particles.
        seed: of the particles.
        region: the weights that users can have; None: all.

    Raises:
        InvalidInputError: shapes don't fit, or an outcome that the model holds impossible.
    """
    asked = np.asarray(differences, dtype=float).reshape(-1, d)
    if len(asked) != len(outcomes):
        raise InvalidInputError(f"{len(asked)} pairs, but {len(outcomes)} answers")
    if model.ties == 0 and "equal" in outcomes:
        raise InvalidInputError("an answer 'equal' needs a model with ties above 0")
    rng = np.random.default_rng(seed)
    said = np.array([OUTCOMES.index(o) for o in outcomes], dtype=int)
    prior = sample_uniform(d, count, rng) if region is None else region.sample(count, rng)
    state = Posterior(prior, np.full(count, 1 / count))
    for number in range(1, len(said) + 1):
        last = _log_likelihood(
            state.particles, asked[number - 1 : number], said[number - 1 :], model
        )
        log_mass = np.log(np.maximum(state.mass, 1e-300)) + last
        mass = np.exp(log_mass - log_mass.max())
        state = Posterior(state.particles, mass / mass.sum())
        if state.effective < _LEAST_EFFECTIVE * count:
            state = _moved(state, asked[:number], said[:number], model, rng, region)
    return state


def _log_likelihood(
    particles: Floats, asked: Floats, said: np.ndarray, model: AnswerModel
) -> Floats:
    log_p = model.log_probabilities(particles @ asked.T)
    picked = np.take_along_axis(log_p, said[: len(asked)][None, :, None], axis=2)[..., 0]
    return np.asarray(picked.sum(axis=1))


def _moved(
    state: Posterior,
    asked: Floats,
    said: np.ndarray,
    model: AnswerModel,
    rng: np.random.Generator,
    region: Region | None,
) -> Posterior:
    """Particles drawn by their mass, then moved; all of one mass."""
    count, d = state.particles.shape
    ends = np.cumsum(state.mass)
    drawn = np.searchsorted(ends / ends[-1], (rng.random() + np.arange(count)) / count)
    particles = state.particles[np.minimum(drawn, count - 1)]
    spread = np.sqrt(np.maximum(particles.var(axis=0).sum(), 1e-12))
    likelihood = _log_likelihood(particles, asked, said, model)
    for _ in range(_MOVES):
        step = rng.normal(size=(count, d)) * spread / np.sqrt(d)
        moved = particles + step - step.mean(axis=1, keepdims=True)
        inside = (moved >= 0).all(axis=1)
        if region is not None:
            inside &= region.contains(moved)
        moved = np.where(inside[:, None], moved, particles)
        moved = moved / moved.sum(axis=1, keepdims=True)
        proposed = _log_likelihood(moved, asked, said, model)
        taken = inside & (np.log(rng.random(count)) < proposed - likelihood)
        particles = np.where(taken[:, None], moved, particles)
        likelihood = np.where(taken, proposed, likelihood)
    return Posterior(particles, np.full(count, 1 / count))
