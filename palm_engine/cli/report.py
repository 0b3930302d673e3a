"""What `palm select` and `palm certify` tell.

One object with names in place of rows, for JSON, terminal and bundle.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from palm_engine._types import Scope
from palm_engine.geometry.confidence import Bound, worst_gap_bound
from palm_engine.geometry.fields import coverage
from palm_engine.geometry.gap import worst_violation
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import named_weights
from palm_engine.geometry.users import Users
from palm_engine.selection.parts.cuts import comparators
from palm_engine.selection.parts.grids import promised_size, size_upper_bound
from palm_engine.selection.population import average_of, users_where
from palm_engine.selection.result import Selection, Target
from palm_engine.tables.reward_table import RewardTable

Weights = dict[str, float]
MET = 1e-6
UNIFORM = "uniform"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class GapReport(_Part):
    """Additive worst gap in reward units, multiplicative as a share, and where they happen.

    The multiplicative one is None where it is not defined, for the reason in `undefined`.
    """

    additive: float
    multiplicative: float | None
    at_weights_additive: Weights
    at_weights_multiplicative: Weights | None
    undefined: str | None = None


class CoverageReport(_Part):
    """Share of the weights that count whose additive gap is at most `threshold` (sampled)."""

    threshold: float
    share: float


class UsersReport(_Part):
    """What a population gets (sampled): mean and largest additive gap, and who answers.

    `population` is `uniform`, a Dirichlet or the name of a file, `within` the share of users whose
    gap is at most the threshold, `usage` the share that each member answers, `perplexity` the
    effective number of members in use. `expected_gap_at_most` and `within_at_least` hold with
    `confidence` for users like these, whichever portfolio of the size is looked at;
    `expected_gap_lower_bound` is proved for every portfolio of the size and these users.
    """

    population: str
    users: float
    expected_gap: float
    expected_gap_at_most: float
    expected_gap_lower_bound: float | None
    largest_gap: float
    within: float
    within_at_least: float
    confidence: float
    usage: Weights
    perplexity: float


class ConfidenceReport(_Part):
    """One-sided bound on the additive worst gap, from a table with prompts."""

    upper: float
    confidence: float
    prompts: int


class SelectionReport(_Part):
    """A selection in names; `stopped` says what ended the search.

    `size_lower_bound` is proved for this table. `size_upper_bound` is what a grid of weights
    promises for the tolerance whatever the policies are (rewards in [0, 1], no cost); None for a
    budget k or where it promises nothing. `warnings` say what is odd about policies' answers.
    `missed_by` is how far a tolerance is missed at worst; None where it is kept, or for a budget.
    """

    method: str
    members: list[str]
    weights: dict[str, Weights | None]
    size: int
    size_lower_bound: int | None
    size_upper_bound: int | None
    gap_lower_bound: float | None
    worst_gap: GapReport
    scope: Scope
    coverage: CoverageReport
    users: UsersReport
    oracle_calls: int
    seconds: float
    stopped: str
    confidence: ConfidenceReport | None = None
    note: str = ""
    warnings: dict[str, str] = {}
    missed_by: float | None = None


def report(
    table: RewardTable,
    found: Selection,
    threshold: float,
    region: Region | None = None,
    target: Target | None = None,
    users: Users | None = None,
    population: str = UNIFORM,
) -> SelectionReport:
    """`found` on `table` as a report.

    Weights a member stands for: the middle of the region where it is picked. `users` are the
    population that averages are over, called `population`; uniform ones if not given.
    """
    members = [table.policies[m] for m in found.members]
    others = comparators(table.points)
    share = coverage(found.points, others, threshold, region=region).share
    users = users or users_where(len(table.traits), region)
    average = found.average or average_of(table.points, found, users, threshold)
    multiplicative = found.gap.at_weights_multiplicative
    bound: Bound | None = None
    if table.scores is not None and len(table.scores) > 1:
        bound = worst_gap_bound(
            table.scores,
            list(found.members),
            region=region,
            clusters=table.clusters,
            span=table.span,
        )
    return SelectionReport(
        method=found.method,
        warnings=table.warnings,
        members=members,
        weights={
            m: None if w is None else named_weights(w, table.traits)
            for m, w in zip(members, found.stands_for(region), strict=True)
        },
        size=len(members),
        size_lower_bound=found.size_lower_bound,
        size_upper_bound=_promised(table, target),
        gap_lower_bound=found.gap_lower_bound,
        worst_gap=GapReport(
            additive=found.gap.additive,
            multiplicative=found.gap.multiplicative,
            at_weights_additive=named_weights(found.gap.at_weights_additive, table.traits),
            at_weights_multiplicative=None
            if multiplicative is None
            else named_weights(multiplicative, table.traits),
            undefined=found.gap.undefined,
        ),
        scope=found.scope,
        coverage=CoverageReport(threshold=threshold, share=share),
        users=UsersReport(
            population=population,
            users=users.total,
            expected_gap=average.expected,
            expected_gap_at_most=average.expected_at_most,
            expected_gap_lower_bound=average.lower_bound,
            largest_gap=average.largest,
            within=average.within,
            within_at_least=average.within_at_least,
            confidence=average.confidence,
            usage=dict(zip(members, average.usage, strict=True)),
            perplexity=average.perplexity,
        ),
        oracle_calls=found.oracle_calls,
        seconds=found.seconds,
        stopped=found.stopped,
        confidence=(
            None
            if bound is None
            else ConfidenceReport(
                upper=bound.upper, confidence=bound.confidence, prompts=bound.prompts
            )
        ),
        missed_by=_missed_by(table, found, target, region),
        note=(
            ""
            if bound is None or found.method == "given"
            else "chosen on the same prompts: biased down"
        ),
    )


def _missed_by(
    table: RewardTable, found: Selection, target: Target | None, region: Region | None
) -> float | None:
    if target is None or target.k is not None:
        return None
    violation, _ = worst_violation(found.points, table.points, target.eps, target.delta, region)
    return violation if violation > MET else None


def _promised(table: RewardTable, target: Target | None) -> int | None:
    if target is None or target.k is not None or table.kl_cost is not None:
        return None
    d = len(table.traits)
    if target.eps > 0 and 0 < target.delta < 1:
        return size_upper_bound(d, target.eps, target.delta)
    return promised_size(d, target.delta) if target.eps == 0 and 0 < target.delta < 1 else None
