"""What counts in a choice of members: weights, least rewards, who must and who may not be one."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """What was asked of weights and members, by names.

    Attributes:
        where: bounds on the weights that count, by trait.
        floors: least rewards of members, by trait.
        required: policies that must be members.
        ruled_out: policies that may not be.
    """

    where: dict[str, tuple[float, float]] = field(default_factory=dict)
    floors: dict[str, float] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    ruled_out: tuple[str, ...] = ()
