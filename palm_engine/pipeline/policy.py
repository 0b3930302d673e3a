"""A policy as the build sees it, before and after it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from palm_engine.pipeline.plan import PlannedPolicy


@dataclass(frozen=True)
class Policy:
    """A policy to evaluate: the base, the base under a style, or a planned adapter.

    Attributes:
        name: of the policy.
        kind: base, prompted, adapter, soup or remote.
        system: its system prompt, or None.
        planned: what the plan expected of it, or None.
        adapter: its folder, or None.
        soup: weights of the policies that it combines, or None.
        served: url, model and extras of a server that answers, or None.
        display_name: for people.
        weights: by trait, what a given adapter was trained for; None where nobody says.
    """

    name: str
    kind: str
    system: str | None
    planned: PlannedPolicy | None = None
    adapter: Path | None = None
    soup: dict[str, float] | None = None
    served: tuple[str, str, bool] | None = None
    display_name: str = ""
    weights: dict[str, float] | None = None

    @property
    def is_candidate(self) -> bool:
        """Whether it may be a member; adapters kept outside as a test may not."""
        return self.planned is None or self.planned.role != "outside"
