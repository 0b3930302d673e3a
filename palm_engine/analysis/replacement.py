"""Whether other members, as many, would serve some users better, and what one model alone would do.

For users who are known: those of an application, or the weights of recorded traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palm_engine._types import Floats, Progress, no_progress
from palm_engine.analysis.populations import Service, serve
from palm_engine.analysis.recommendation import FEWEST_PROMPTS, halves
from palm_engine.geometry.confidence import Bound, mean_bound
from palm_engine.geometry.envelope import best_policy
from palm_engine.geometry.users import Users
from palm_engine.selection.options import Options
from palm_engine.selection.population import best_on_average
from palm_engine.tables.reward_table import RewardTable

# Less is no reason to change anything.
WORTH = 1e-4


@dataclass(frozen=True)
class Replacement:
    """What users get now, of one model alone, and of the best other members (scope: sampled).

    Attributes:
        users: how many there are.
        members: who serves them now.
        now: how.
        single: the one policy with whom they would lose least on average.
        single_expected: what they would lose with it, additive.
        others: the members with whom they would lose least on average, as many as now; chosen on
            one half of the prompts where there are enough.
        others_now: how they would be served by these.
        saved: mean value gained by changing, bounded on the other half of the prompts; None
            without prompts enough.
        proved: whether no other members are better on what they were chosen on.
    """

    users: float
    members: tuple[str, ...]
    now: Service
    single: str
    single_expected: float
    others: tuple[str, ...]
    others_now: Service
    saved: Bound | None
    proved: bool

    @property
    def estimate(self) -> float:
        """What changing would save on average, additive."""
        if self.saved is not None:
            return self.saved.estimate
        return self.now.everybody.expected - self.others_now.everybody.expected

    @property
    def is_better(self) -> bool:
        """Whether changing would help, beyond what the prompts leave open."""
        if set(self.others) == set(self.members):
            return False
        return (self.estimate if self.saved is None else self.saved.lower) > WORTH

    def in_words(self, labels: dict[str, str]) -> list[str]:
        """Whether to change; what they get now, of one model, and of others.

        Args:
            labels: names for people, by policy, where they differ.
        """

        def names(policies: Sequence[str]) -> str:
            return ", ".join(labels.get(p, p) for p in policies)

        now = self.now.everybody
        usage = sorted(zip(now.shares, self.members, strict=True), reverse=True)
        answered = ", ".join(f"{labels.get(p, p)} {share:.0%}" for share, p in usage)
        facts = [
            f"{self.users:,.0f} users lose {now.expected:.4f} on average and {now.worst:.4f} at"
            f" worst; answered by {answered}.",
            f"With one model alone, {names([self.single])}, they would lose"
            f" {self.single_expected:.4f} on average,"
            f" {_difference(self.single_expected - now.expected)}.",
        ]
        count = len(self.members)
        if set(self.others) == set(self.members):
            return [f"Keep these members: no other {count} serve these users better.", *facts]
        best = "The best others" if self.proved else "The best others found"
        verdict = (
            f"Changing to {names(self.others)} pays for these users."
            if self.is_better
            else "Keep these members."
        )
        if self.saved is None:
            return [
                verdict,
                *facts,
                f"{best} of that number, {names(self.others)}, give {self.estimate:.4f} more.",
            ]
        chance = "" if self.is_better or self.estimate <= WORTH else " That may be chance."
        return [
            verdict,
            *facts,
            f"{best} of that number on one half of the prompts, {names(self.others)}, give"
            f" {_difference(self.saved.estimate)} on the other {self.saved.prompts}"
            f" ({self.saved.lower:+.4f} at least, {self.saved.upper:+.4f} at most, each with"
            f" {self.saved.confidence:.0%} confidence).{chance}",
        ]


def _difference(more: float) -> str:
    return f"{abs(more):.4f} {'more' if more >= 0 else 'less'}"


def replacement(
    table: RewardTable,
    members: Sequence[str],
    users: Users,
    seconds: float | None = 10.0,
    seed: int = 0,
    tolerance: float = 0.05,
    report: Progress = no_progress,
) -> Replacement:
    """Compare who serves some users now with who could.

    Args:
        table: the candidates; with prompts enough, others are chosen on one half of them and
            compared on the other.
        members: who serves now, policies of the table.
        users: the population.
        seconds: time limit of the choice.
        seed: of the split of prompts and the resampling.
        tolerance: additive gap that counts as served.
        report: gets the share done and what is being done.

    Raises:
        InvalidInputError: a member isn't in the table, or users have other traits.
    """
    rows = [table.row(m) for m in members]
    points = table.points
    now = serve(points[rows], points, users, tolerance)
    mean = users.shares @ users.weights
    # Values are linear in the weights: the best single policy is that of the mean weights.
    single = int(best_policy(points, mean[None])[0])
    alone = serve(points[[single]], points, users, tolerance).everybody.expected
    scores = table.scores
    chosen_on, measured_on = points, None
    if scores is not None and len(scores) >= FEWEST_PROMPTS:
        choose, measure = halves(len(scores), table.clusters, np.random.default_rng(seed))
        chosen_on, measured_on = scores[choose].mean(axis=0), scores[measure]
    report(0.2, "Looking for the best members for these users")
    options = Options(time_limit=seconds)
    found = best_on_average(chosen_on, len(rows), users, options, tolerance)
    others = list(found.members)
    report(0.8, "Comparing them on prompts that they were not chosen on")
    saved = None
    if measured_on is not None:
        # Either way members are picked by what the one half says of them.
        gained = _value(measured_on, chosen_on, others, users) - _value(
            measured_on, chosen_on, rows, users
        )
        saved = mean_bound(gained, seed=seed, span=table.span)
    report(1.0, "")
    return Replacement(
        users.total,
        tuple(members),
        now,
        table.policies[single],
        alone,
        tuple(table.policies[i] for i in others),
        serve(points[others], points, users, tolerance),
        saved,
        found.proved,
    )


def _value(scores: Floats, points: Floats, rows: Sequence[int], users: Users) -> Floats:
    """Mean value of the users on each prompt, where `points` decide who answers whom.

    Args:
        scores: shape (prompts, n, d).
        points: shape (n, d).
        rows: of the members.
        users: the population.

    Returns:
        Shape (prompts,).
    """
    picked = best_policy(points[list(rows)], users.weights)
    weighted = users.shares[:, None] * users.weights
    demand = np.zeros((len(rows), points.shape[1]))
    np.add.at(demand, picked, weighted)
    return np.asarray(np.einsum("pkd,kd->p", scores[:, list(rows)], demand))
