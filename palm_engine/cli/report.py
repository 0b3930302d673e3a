"""What `palm select` and `palm certify` tell.

One object with names in place of rows, for JSON, terminal and bundle.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from palm_engine.analysis.populations import Users, serve, uniform_users
from palm_engine.geometry.confidence import Bound, worst_gap_bound
from palm_engine.geometry.fields import coverage, users_of
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import named_weights
from palm_engine.selection.parts.grids import promised_size, size_upper_bound
from palm_engine.selection.result import Selection, Target
from palm_engine.tables.reward_table import RewardTable

Weights = dict[str, float]
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

    `population` is `uniform` or the name of a file, `within` the share of users whose gap is at
    most the threshold, `usage` the share that each member answers, `perplexity` the effective
    number of members in use.
    """

    population: str
    users: float
    expected_gap: float
    largest_gap: float
    within: float
    usage: Weights
    perplexity: float


class ConfidenceReport(_Part):
    """One-sided percentile bound on the additive worst gap, from a table with prompts."""

    upper: float
    confidence: float
    prompts: int


class SelectionReport(_Part):
    """A selection in names; `stopped` says what ended the search.

    `size_lower_bound` is proved for this table. `size_upper_bound` is what a grid of weights
    promises for the tolerance whatever the policies are (rewards in [0, 1], no cost); None for a
    budget k or where it promises nothing. `warnings` say what is odd about policies' answers.
    """

    method: str
    members: list[str]
    weights: dict[str, Weights | None]
    size: int
    size_lower_bound: int | None
    size_upper_bound: int | None
    gap_lower_bound: float | None
    worst_gap: GapReport
    scope: str
    coverage: CoverageReport
    users: UsersReport
    oracle_calls: int
    seconds: float
    stopped: str
    confidence: ConfidenceReport | None = None
    note: str = ""
    warnings: dict[str, str] = {}


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
    share = coverage(found.points, table.points, threshold, region=region).share
    users = users or uniform_users(users_of(len(table.traits), region))
    served = serve(found.points, table.points, users, threshold)
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
            expected_gap=max(served.everybody.expected, 0.0),
            largest_gap=max(served.everybody.worst, 0.0),
            within=served.everybody.within,
            usage=dict(zip(members, map(float, served.everybody.shares), strict=True)),
            perplexity=served.perplexity,
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
        note=(
            ""
            if bound is None or found.method == "given"
            else "chosen on the same prompts: biased down"
        ),
    )


def _promised(table: RewardTable, target: Target | None) -> int | None:
    if target is None or target.k is not None or table.kl_cost is not None:
        return None
    d = len(table.traits)
    if target.eps > 0 and 0 < target.delta < 1:
        return size_upper_bound(d, target.eps, target.delta)
    return promised_size(d, target.delta) if target.eps == 0 and 0 < target.delta < 1 else None
