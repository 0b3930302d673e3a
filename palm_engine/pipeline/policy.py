"""A policy as the build sees it, before and after it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from palm_engine.bundle.schema import Training
from palm_engine.bundle.served import KEY_VARIABLE
from palm_engine.pipeline.plan import PlannedPolicy


@dataclass(frozen=True)
class Served:
    """Where a policy answers that runs elsewhere.

    Attributes:
        url: address of the server.
        model: what the server calls it.
        extras: whether it is sent top_k and repetition_penalty.
        key_variable: environment variable that holds the server's key.
    """

    url: str
    model: str
    extras: bool = True
    key_variable: str = KEY_VARIABLE


@dataclass(frozen=True)
class Policy:
    """A policy to evaluate: the base, the base under a style, or a planned adapter.

    Attributes:
        name: of the policy.
        kind: base, prompted, adapter, soup, mixture or remote.
        system: its system prompt, or None.
        planned: what the plan expected of it, or None.
        adapter: its folder, or None.
        soup: weights of the policies whose adapters it combines, or None.
        mixture: weight and adapter of each policy whose logits it adds up, or None.
        served: the server that answers, or None.
        display_name: for people.
        weights: by trait, what a given adapter was trained for; None where nobody says.
        training: how its training went, or None.
    """

    name: str
    kind: str
    system: str | None
    planned: PlannedPolicy | None = None
    adapter: Path | None = None
    soup: dict[str, float] | None = None
    mixture: dict[str, tuple[float, Path]] | None = None
    served: Served | None = None
    display_name: str = ""
    weights: dict[str, float] | None = None
    training: Training | None = None

    @property
    def is_candidate(self) -> bool:
        """Whether it may be a member; adapters kept outside as a test may not."""
        return self.planned is None or self.planned.role != "outside"
