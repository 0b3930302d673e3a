"""Which pair of answers to ask about next: the one that tells most about which member is right.

Not about the weights: where two weights pick the same member, it doesn't matter which is the
user's. What a question tells is the mutual information of its answer and the member (Lindley 1956,
doi:10.1214/aoms/1177728069).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from palm_engine._types import Floats
from palm_engine.preferences.posterior import AnswerModel, Posterior

# Pairs that are weighed up for one question; drawn where there are more.
MOST_PAIRS = 400


def information(
    state: Posterior, differences: Floats, groups: np.ndarray, model: AnswerModel
) -> Floats:
    """What the answer to each question tells about the group that the user is in.

    Args:
        state: the posterior, of n particles.
        differences: rewards of the first answer minus those of the second, shape (m, d).
        groups: number of the group of each particle, shape (n,): the member that is picked there.
        model: how users answer.

    Returns:
        Mutual information in nats, at least 0, shape (m,).
    """
    p = np.exp(model.log_probabilities(state.particles @ differences.T))
    told = _entropy(np.einsum("n,nmo->mo", state.mass, p))
    for group in np.unique(groups):
        chosen = groups == group
        share = float(state.mass[chosen].sum())
        if share > 0:
            within = np.einsum("n,nmo->mo", state.mass[chosen] / share, p[chosen])
            told = told - share * _entropy(within)
    return np.maximum(told, 0.0)


def most_telling(
    state: Posterior,
    differences: Floats,
    groups: np.ndarray,
    model: AnswerModel,
    asked: Collection[int] = (),
    seed: int = 0,
) -> int | None:
    """Row of the question to ask next; of equally telling ones the first.

    Args:
        state: the posterior.
        differences: of all questions, shape (m, d).
        groups: number of the group of each particle.
        model: how users answer.
        asked: rows not to ask (again).
        seed: of the draw where there are more than MOST_PAIRS.

    Returns:
        None if no question is left.
    """
    left = np.setdiff1d(np.arange(len(differences)), np.fromiter(asked, int, len(asked)))
    if not len(left):
        return None
    if len(left) > MOST_PAIRS:
        rng = np.random.default_rng((seed, len(asked)))
        left = np.sort(rng.choice(left, MOST_PAIRS, replace=False))
    told = information(state, differences[left], groups, model)
    return int(left[int(np.argmax(np.round(told, 12)))])


def _entropy(p: Floats) -> Floats:
    """Entropy in nats along the last axis."""
    return np.asarray(-(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1))
