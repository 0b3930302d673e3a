"""Claim: a few answers to "which do you prefer?" settle the right member.

Simulated users of the demo (Bradley-Terry, no ties) are asked until one member is within 2 % of the
best one with 85 % posterior probability. All choose from the same pairs, update the same posterior
and stop by the same rule; only what they ask next differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.common import DEMO, Row
from palm_engine._types import Floats
from palm_engine.analysis.finding import questions
from palm_engine.bundle.folder import read_bundle
from palm_engine.preferences.finding import NEAR, SURE, near_probabilities
from palm_engine.preferences.posterior import OUTCOMES, AnswerModel, Outcome, Posterior, posterior
from palm_engine.preferences.questions import MOST_PAIRS, information

USERS = 100
MOST = 60


@dataclass(frozen=True)
class Choice:
    """What a rule sees: the posterior, differences left, the member of each particle."""

    state: Posterior
    pairs: Floats
    groups: np.ndarray
    model: AnswerModel
    rng: np.random.Generator


Rule = Callable[[Choice], int]


def about_members(c: Choice) -> int:
    """Ours: what tells most about the member."""
    return int(np.argmax(information(c.state, c.pairs, c.groups, c.model)))


def about_weights(c: Choice) -> int:
    """What tells most about the weights: every particle is a group of its own."""
    p = np.exp(c.model.log_probabilities(c.state.particles @ c.pairs.T))
    mean = np.einsum("n,nmo->mo", c.state.mass, p)
    inner = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=2)
    outer = -(mean * np.log(np.maximum(mean, 1e-300))).sum(axis=1)
    return int(np.argmax(outer - c.state.mass @ inner))


def halving(c: Choice) -> int:
    """Generalised binary search, as AMPLe asks (arXiv 2411.00524): the answers split the mass."""
    return int(np.argmin(np.abs(c.state.mass @ np.sign(c.state.particles @ c.pairs.T))))


def at_random(c: Choice) -> int:
    """Any pair."""
    return int(c.rng.integers(len(c.pairs)))


RULES: dict[str, Rule] = {
    "member-aware": about_members,
    "weight-aware": about_weights,
    "generalised binary search (AMPLe's rule)": halving,
    "random pairs": at_random,
}


def asked_until_settled(
    points: Floats, pairs: Floats, w: Floats, rule: Rule, model: AnswerModel, seed: int
) -> tuple[int, bool]:
    """Questions until a member was settled, and whether it was within NEAR of the best one."""
    rng = np.random.default_rng((seed, 3))
    left = list(range(len(pairs)))
    asked: list[int] = []
    outcomes: list[Outcome] = []
    value = points @ w
    near_best = value >= value.max() - NEAR * abs(value.max())
    while True:
        state = posterior(pairs[asked], outcomes, points.shape[1], model, seed=seed)
        values = state.particles @ points.T
        sure = near_probabilities(state, values)
        member = int(np.argmax(sure))
        if sure[member] >= SURE or len(asked) == MOST:
            return len(asked), bool(near_best[member])
        some = np.sort(rng.choice(left, min(MOST_PAIRS, len(left)), replace=False))
        groups = values.argmax(axis=1)
        row = int(some[rule(Choice(state, pairs[some], groups, model, rng))])
        asked.append(row)
        left.remove(row)
        p = np.exp(model.log_probabilities(pairs[row] @ w))
        outcomes.append(OUTCOMES[int(rng.choice(3, p=p))])


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    bundle = read_bundle(DEMO)
    asked = questions(bundle, bundle.members)
    points = bundle.points[bundle.members]
    users = np.random.default_rng(7).dirichlet(np.ones(points.shape[1]), USERS)
    found = []
    for tau, goal in ((0.05, 3), (0.15, 5)):
        model = AnswerModel(tau, ties=0.0)
        words = {}
        for name, rule in RULES.items():
            runs = [
                asked_until_settled(points, asked.differences, w, rule, model, i)
                for i, w in enumerate(users)
            ]
            count = np.median([n for n, _ in runs])
            right = np.mean([ok for _, ok in runs])
            words[name] = f"{count:g} ({right:.0%} right)"
        ours = words.pop("member-aware")
        found.append(
            (
                f"median questions to a settled member, {USERS} simulated users, tau {tau}, demo's"
                f" {len(points)} members (goal {goal}, 93 % within 2 %)",
                ours,
                ", ".join(f"{name}: {text}" for name, text in words.items()),
            )
        )
    return found
