"""A reward table: evaluated policies with their rewards, and what else a table said of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from palm_engine._types import Floats
from palm_engine.bundle.limits import Limits
from palm_engine.bundle.schema import ImportRecord
from palm_engine.bundle.tables import clusters_of
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.confidence import span_of
from palm_engine.geometry.policies import policy_points


@dataclass(frozen=True)
class RewardTable:
    """Evaluated policies.

    Attributes:
        policies: their n names.
        traits: names of the d traits.
        rewards: mean rewards, (n, d), in [0, 1].
        kl_cost: of each, (n,), or None where it is not counted.
        scores: by prompt, rewards less costs, (prompts, n, d); None without prompts.
        labels: names for people, by policy, where they differ.
        trait_labels: names for people, by trait, where they differ.
        limits: what counts in a choice from a bundle's candidates; None of a table.
        warnings: what is odd about a policy's answers, by policy.
        prompts: prompt_id, split, text, and cluster where it is known; None without prompts.
        samples: policy, prompt_id, sample_id, text, tokens and a column per trait; None without
            prompts.
        record: where the table came from and what was done to it.
    """

    policies: list[str]
    traits: list[str]
    rewards: Floats
    kl_cost: Floats | None
    scores: Floats | None
    labels: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    prompts: pd.DataFrame | None = None
    samples: pd.DataFrame | None = None
    record: ImportRecord | None = None
    trait_labels: dict[str, str] = field(default_factory=dict)
    limits: Limits | None = None

    @property
    def points(self) -> Floats:
        """Points u = v - c, shape (n, d)."""
        return policy_points(self.rewards, self.kl_cost)

    @property
    def clusters(self) -> list[str] | None:
        """The cluster of each prompt of `scores`; None where every prompt is one of its own."""
        return None if self.prompts is None else clusters_of(self.prompts)

    @property
    def span(self) -> float:
        """The largest gap that a single prompt can have."""
        return span_of(self.kl_cost)

    def row(self, policy: str) -> int:
        """The row of a policy, by its name or its label.

        Raises:
            InvalidInputError: there is none of that name.
        """
        if policy in self.policies:
            return self.policies.index(policy)
        for name, label in self.labels.items():
            if label == policy:
                return self.policies.index(name)
        raise InvalidInputError(
            f"no policy {policy!r} in the table; it holds {', '.join(self.policies[:8])}"
            + (" ..." if len(self.policies) > 8 else "")
        )
