"""Every selection method by name.

`METHODS[name].select(candidates, target, options)` returns a `Selection`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from numpy.typing import ArrayLike

from palm_engine.errors import InvalidInputError
from palm_engine.oracles.interface import Oracle
from palm_engine.selection.adaptive import adaptive
from palm_engine.selection.baselines import random, uniform
from palm_engine.selection.greedy import greedy
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.palm import palm
from palm_engine.selection.placement import placement
from palm_engine.selection.result import Selection, Target
from palm_engine.selection.subsets import hypervolume, medoids


class Select(Protocol):
    """The one signature: candidates (points (n, d) or an oracle), target, options."""

    def __call__(
        self, candidates: ArrayLike | Oracle, target: Target, options: Options = DEFAULT, /
    ) -> Selection:
        """Select; raises InvalidInputError or InfeasibleError."""
        ...


@dataclass(frozen=True)
class Method:
    """A selection method.

    Attributes:
        select: `(candidates, target, options)` to a `Selection`.
        summary: what it does, in a line.
        proves: what its result is proved to be.
    """

    select: Select
    summary: str
    proves: str


METHODS: dict[str, Method] = {
    "minimum": Method(
        minimum, "exact: fewest for (eps, delta), best k", "optimal among the candidates"
    ),
    "greedy": Method(greedy, "adds the best where it is worst, then deletes", "its gap (exact)"),
    "adaptive": Method(
        adaptive, "few oracle calls, certified against all policies", "its gap (certified)"
    ),
    "placement": Method(
        placement, "plans on interpolated policies, asks there", "its gap (certified)"
    ),
    "palm": Method(
        palm, "reconstructed: a grid of weights, the oracle, pruning", "its gap (exact)"
    ),
    "uniform": Method(uniform, "baseline: well-spread weights", "its gap (exact)"),
    "random": Method(random, "baseline: random weights", "its gap (exact)"),
    "hypervolume": Method(hypervolume, "baseline: most volume dominated", "its gap (exact)"),
    "medoids": Method(medoids, "baseline: nearest to all policies", "its gap (exact)"),
}


def get_method(name: str) -> Method:
    """The method of a name.

    Raises:
        InvalidInputError: there is none; the message lists the names.
    """
    if name not in METHODS:
        raise InvalidInputError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]
