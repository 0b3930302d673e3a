"""What every selection method returns, and the target that it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from palm_engine._types import Floats, Scope
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.fields import region_centres
from palm_engine.geometry.gap import WorstGap, check_tolerance
from palm_engine.geometry.pick import pick_info
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import named_weights, weights_of

PROVED = "proved optimal"


@dataclass(frozen=True)
class Target:
    """What is asked for: a budget of members, or a tolerance.

    Attributes:
        k: number of members, for the least worst gap; None with a tolerance.
        eps: multiplicative tolerance, in [0, 1), for the fewest members.
        delta: additive tolerance, at least 0, for the fewest members.
        multiplicative: with `k`, minimise the multiplicative worst gap; else the additive one.
    """

    k: int | None = None
    eps: float = 0.0
    delta: float = 0.0
    multiplicative: bool = False

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise InvalidInputError(f"k must be at least 1, got {self.k}")
        check_tolerance(self.eps, self.delta)
        if self.k is not None and (self.eps or self.delta):
            raise InvalidInputError("give either a budget k or a tolerance (eps, delta), not both")
        if self.k is None and self.eps == 0 and self.delta == 0:
            raise InvalidInputError("give a target: k, or eps and/or delta above 0")
        if self.multiplicative and self.k is None:
            raise InvalidInputError(
                "a multiplicative target has a budget k; for a tolerance give eps"
            )

    def require_additive(self, method: str) -> None:
        """Check that the additive gap is asked for.

        Args:
            method: name of the method, for the message.

        Raises:
            InvalidInputError: the multiplicative one is.
        """
        if self.multiplicative:
            raise InvalidInputError(
                f"{method} minimises the additive gap only; use minimum, adaptive or placement"
            )


@dataclass(frozen=True)
class Pick:
    """What a user gets.

    Attributes:
        policy: the picked member.
        value: its value at the weights.
        best: the best candidate; the picked member where they tie.
        gap: how much less the member gives, additive.
        multiplicative_gap: the gap as a share of the best value, None where that is not positive.
        weights: the effective weights by trait.
    """

    policy: str
    value: float
    best: str
    gap: float
    multiplicative_gap: float | None
    weights: dict[str, float]


@dataclass(frozen=True)
class Average:
    """What a population of users gets of a portfolio (scope: sampled).

    Attributes:
        users: rows of the population.
        expected: their mean additive gap.
        expected_at_most: bound on the mean of users like them, for any portfolio of the size.
        largest: the largest gap among them.
        tolerance: additive gap that counts as served (lambda).
        within: share of the users whose gap is at most that (nu).
        within_at_least: bound on the share among users like them, for any portfolio of the size.
        confidence: of both bounds.
        usage: share of the users that each member answers, in the members' order.
        perplexity: effective number of members in use.
        lower_bound: proved on the expected gap of any portfolio of the size; None where unknown.
    """

    users: int
    expected: float
    expected_at_most: float
    largest: float
    tolerance: float
    within: float
    within_at_least: float
    confidence: float
    usage: tuple[float, ...]
    perplexity: float
    lower_bound: float | None = None


@dataclass(frozen=True)
class Selection:
    """A portfolio chosen from candidates.

    Attributes:
        method: name of the method.
        members: rows of the members, sorted (for an oracle: of `found`).
        points: their points, (k, d).
        gap: the worst gap: exact for the scope `candidates`, an upper bound for `certified`, at the
            weights that were looked at for `sampled`.
        size_lower_bound: proved bound on the size for a tolerance, or None.
        gap_lower_bound: proved bound on the worst gap of any k candidates, or None.
        scope: what the gap is measured against: candidates, certified or sampled.
        oracle_calls: how many were made.
        seconds: how long it took.
        stopped: what ended the search.
        found: points of an oracle's calls, (n, d); None for a table.
        weights: weights of an oracle's calls, (n, d); None for a table.
        policies: names of the members, where it has names.
        traits: names of the traits, where it has names.
        candidates: points of all candidates, (n, d), where it has names.
        names: names of all candidates, where it has names.
        average: what a population gets of it, where one was asked for.
    """

    method: str
    members: tuple[int, ...]
    points: Floats
    gap: WorstGap
    size_lower_bound: int | None = None
    gap_lower_bound: float | None = None
    scope: Scope = "candidates"
    oracle_calls: int = 0
    seconds: float = 0.0
    stopped: str = PROVED
    found: Floats | None = None
    weights: Floats | None = None
    policies: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    candidates: Floats | None = None
    names: tuple[str, ...] = ()
    average: Average | None = None

    @property
    def proved(self) -> bool:
        """Whether no other choice from the candidates is better, proved."""
        return self.stopped == PROVED

    def averaged(self, average: Average, stopped: str | None = None) -> Selection:
        """The same with what a population gets of it, and what ended the search."""
        return replace(self, average=average, stopped=stopped or self.stopped)

    def bounded(self, size_lower_bound: int | None) -> Selection:
        """The same with a proved bound on the size."""
        return replace(self, size_lower_bound=size_lower_bound)

    def with_names(
        self, names: Sequence[str], traits: Sequence[str], candidates: Floats
    ) -> Selection:
        """The same with names.

        Args:
            names: of the n candidates.
            traits: of the d traits.
            candidates: their points, shape (n, d).
        """
        return replace(
            self,
            policies=tuple(names[m] for m in self.members),
            traits=tuple(traits),
            candidates=candidates,
            names=tuple(names),
            gap=replace(self.gap, traits=tuple(traits)),
        )

    def pick(self, weights: Mapping[str, float] | ArrayLike) -> Pick:
        """Which member answers a user, and how much is lost against the best candidate.

        Args:
            weights: by trait, or shape (d,) in the order of the traits; non-negative, scaled to sum
                1.

        Raises:
            InvalidInputError: weights that make no sense, or a selection without names.
        """
        if self.candidates is None:
            raise InvalidInputError("this selection has no names; use palm_engine.select")
        w = weights_of(weights, self.traits)
        info = pick_info(self.candidates, self.members, w)
        return Pick(
            policy=self.names[info.member],
            value=info.member_value,
            best=self.names[info.best],
            gap=info.gap,
            multiplicative_gap=info.multiplicative_gap,
            weights=named_weights(w, self.traits),
        )

    def stands_for(self, region: Region | None = None, draws: int = 20_000) -> list[Floats | None]:
        """The weights each member stands for: where the oracle found it, or where it is picked.

        Args:
            region: the weights that count; None is the whole simplex.
            draws: how many weights are drawn to find the middle of a member's region.

        Returns:
            Shape (d,) each; None for a member that is never picked.
        """
        if self.weights is not None:
            return [self.weights[m] for m in self.members]
        return region_centres(self.points, region, draws)
