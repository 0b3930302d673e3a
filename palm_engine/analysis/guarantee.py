"""What a bundle promises, as words and numbers.

The one source of the page, its JSON and the printable report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from palm_engine.analysis.story import expected_gap
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import Candidate, Certificate, ImportRecord, Reading, RewardAudit
from palm_engine.geometry.confidence import Bound
from palm_engine.geometry.envelope import best_somewhere
from palm_engine.geometry.fields import population, usage
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.simplex import weights_text

# What prompts of a split are to anybody.
PROMPTS = {"certify": "held-out prompts", "choose": "held-out prompts", "train": "train prompts"}
# Not what Trade-off calls so: there, the best candidates for such weights.
TRAINED_AT = {
    "uniform": "adapters trained at uniform weights",
    "random": "adapters trained at random weights",
}
# A page says that prompts are too few where they may miss failures on more than this share.
RAREST = 0.05
# Names in a sentence; candidates of a bundle that are looked at for who is best somewhere.
MOST_NAMED = 5
MOST_LOOKED_AT = 2_000


@dataclass(frozen=True)
class Statement:
    """A heading, and what it says in a sentence or two.

    Attributes:
        heading: one or two words.
        text: the sentences.
        warns: whether it says that the rest can't be relied on.
    """

    heading: str
    text: str
    warns: bool = False


@dataclass(frozen=True)
class Reached:
    """A trained candidate at the weights it was trained for.

    Attributes:
        policy: its id.
        label: its name for people.
        planned: the value that the plan expected.
        reached: the value it has.
        is_member: whether it is in the portfolio.
    """

    policy: str
    label: str
    planned: float
    reached: float
    is_member: bool


@dataclass(frozen=True)
class DiversityRow:
    """How differently a portfolio's members answer.

    Attributes:
        portfolio: its name.
        members: their names.
        distance: mean pairwise embedding distance, 1 - cosine.
        vendi: Vendi score, 1 to k, or None.
        usage_perplexity: how evenly uniform users use them, 1 to k.
        worst_gap: of the portfolio, on the certify prompts.
        chosen_gap: the same on the choose prompts, where members were chosen; None without.
        average_loss: of uniform users, on the certify prompts.
    """

    portfolio: str
    members: tuple[str, ...]
    distance: float
    vendi: float | None
    usage_perplexity: float
    worst_gap: float
    chosen_gap: float | None
    average_loss: float


def why_no_bound(bundle: Bundle) -> str:
    """What is missing for a bound that counts how few prompts were used, in a sentence."""
    if bundle.samples.empty:
        return "A table with a row per policy and prompt gives a bound."
    told = bundle.manifest.in_sample
    biased = (
        ""
        if told is None
        else f" Taken as if they weren't, it is {told.upper:.4f} ({told.confidence:.0%},"
        f" {told.prompts} prompts), which is too low."
    )
    return (
        f"These members were chosen on the same prompts that would bound them.{biased} palm import"
        " and palm evaluate choose on one half and measure on the other."
    )


def _enough(confidence: float) -> int:
    """How many prompts show a failure on RAREST of them at least once."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - RAREST))


def _one_of(count: int) -> str:
    return "the one member" if count == 1 else f"one of the {count} members"


def statements(bundle: Bundle, portfolio: tuple[int, ...], bound: Bound | None) -> list[Statement]:
    """The guarantee of a portfolio in plain words, each sentence from this bundle's numbers.

    Args:
        bundle: that holds the candidates.
        portfolio: rows of the members.
        bound: on its worst gap, or None.
    """
    certificate = bundle.manifest.certificate
    own = certificate is not None and set(portfolio) == set(bundle.members)
    sentences = [*_warnings(bundle, portfolio), *_promise(bundle, portfolio)]
    if bound is None or certificate is None:
        words = f"none is given: the rewards are taken as they stand. {why_no_bound(bundle)}"
        sentences.append(Statement("Confidence", words))
    else:
        sentences += _confidence(certificate, bound, own)
    if certificate is not None and own:
        sentences += _certified(bundle, certificate)
    return [*sentences, *_background(bundle)]


def _warnings(bundle: Bundle, portfolio: Sequence[int]) -> list[Statement]:
    """What is wrong with the rewards or with candidates: the first words."""
    audit = bundle.manifest.reward_audit
    found = []
    if audit is not None and not audit.passes:
        found.append(Statement("Rewards", audit_verdict(audit), warns=True))
    if odd := [c for c in bundle.manifest.candidates if c.warning]:
        found.append(Statement("Odd answers", _odd(bundle, odd, portfolio), warns=True))
    return found


def _promise(bundle: Bundle, portfolio: Sequence[int]) -> list[Statement]:
    """The worst gap, what it is measured against, and whom no weights pick."""
    exact = worst_gap(bundle.points[list(portfolio)], bundle.points, bundle.region)
    found = [
        Statement(
            "Promise",
            f"For all weights over {', '.join(bundle.traits)}"
            f"{bundle.where_text}, {_one_of(len(portfolio))} is at most"
            f" {exact.additive:.4f} ({bundle.unit}) behind the best of the {len(bundle.policies)}"
            f" candidates. The worst is at {bundle.weights_text(exact.at_weights_additive)}."
            + _multiplicative(exact.multiplicative),
        ),
        Statement(
            "Scope",
            "candidates: exact over the whole"
            + (" region of these weights" if bundle.region_text else " simplex of weights")
            + ", against every candidate that was evaluated; nothing is said about models that were"
            " never trained.",
        ),
    ]
    never = never_best(bundle)
    if never:
        more = f" and {len(never) - MOST_NAMED} more" if len(never) > MOST_NAMED else ""
        found.append(
            Statement(
                "Best for no weights",
                f"As measured, {len(never)} of the {len(bundle.policies)} candidates:"
                f" {', '.join(bundle.label(p) for p in never[:MOST_NAMED])}{more}. For users who"
                " add traits up another is always at least as good; for others they can be best"
                " (Coverage, palm utility).",
            )
        )
    return found


def never_best(bundle: Bundle) -> list[str]:
    """Candidates that no linear weights make best: the barrier of linear preferences.

    Args:
        bundle: of at most MOST_LOOKED_AT candidates; of more nothing is said.
    """
    if len(bundle.policies) > MOST_LOOKED_AT:
        return []
    best = best_somewhere(bundle.points, bundle.region)
    return [p for p, b in zip(bundle.policies, best, strict=True) if not b]


def _confidence(certificate: Certificate, bound: Bound, own: bool) -> list[Statement]:
    """The bound, on what it was measured, and what so few prompts can't show."""
    unseen = bound.smallest_failure_seen
    groups = "" if bound.clusters is None else f", in {bound.clusters} clusters,"
    many = " It holds for every size of the curve at once, since this size was picked by looking."
    found = [
        Statement(
            "Confidence",
            f"With {bound.confidence:.0%} confidence the worst gap is at most {bound.upper:.4f}"
            f" on prompts like the {bound.prompts}{groups} that it was certified on"
            f" ({bound.resamples:,} random weightings of whole prompts, one that nobody saw"
            f" among them, as bad as can be: failures on fewer than {unseen:.1%} of prompts may"
            f" not show on so few). Chosen on {certificate.selected_on}; certified on"
            f" {certificate.certified_on}.{'' if own else many}",
        )
    ]
    if unseen > RAREST:
        found.append(
            Statement(
                "Too few prompts",
                f"Failures on up to {unseen:.0%} of prompts can go unseen on so few;"
                f" {_enough(bound.confidence)} prompts or more show those on {RAREST:.0%}.",
                warns=True,
            )
        )
    return found


def _certified(bundle: Bundle, certificate: Certificate) -> list[Statement]:
    """What the certificate says of the bundle's own members."""
    difference = certificate.single_best_minus_members
    found = [
        Statement(
            "Optimality",
            f"On the choose prompts the members' worst gap is {certificate.choose_gap:.4f}; no"
            f" {len(bundle.members)} of the candidates can have less than"
            f" {certificate.choose_lower_bound:.4f} (method: {certificate.method}; tolerance"
            f" {certificate.tolerance:.0e}).",
        ),
        Statement(
            "Against one model",
            f"The single candidate that is best on the choose prompts"
            f" ({bundle.label(certificate.single_best)}) has a worst gap on the certify prompts"
            f" that is larger by {difference.estimate:.4f} (at least {difference.lower:.4f} and"
            f" at most {difference.upper:.4f}, each with {difference.confidence:.0%}"
            " confidence).",
        ),
    ]
    if certificate.planned_gap is not None:
        found.append(
            Statement(
                "Plan",
                f"Before training, {certificate.planned_gap:.4f} was planned (scope: pool)."
                " Trained adapters fall short of what was planned for them; planned and reached"
                " values are given below.",
            )
        )
    if certificate.outside_test:
        ahead = max(certificate.outside_test, key=lambda t: t.gap)
        found.append(
            Statement(
                "Models kept out",
                f"{len(certificate.outside_test)} adapters were trained and kept out of the"
                " candidates. The one most ahead of the members at its own weights"
                f" ({bundle.label(ahead.policy)}) is ahead by {ahead.gap:+.4f} (scope: sampled;"
                " below 0 the members are better).",
            )
        )
    return found


def _background(bundle: Bundle) -> list[Statement]:
    """The audit that was passed, the blind reading, where rewards come from, what isn't said."""
    audit = bundle.manifest.reward_audit
    found = []
    if audit is not None and audit.passes:
        found.append(Statement("Rewards", audit_verdict(audit)))
    if (reading := bundle.manifest.reading) is not None:
        found.append(Statement("Read blind", reading_words(bundle, reading)))
    if (record := bundle.manifest.imported) is not None:
        found.append(Statement("Where the rewards come from", import_words(record)))
    found.append(
        Statement(
            "Not promised",
            "Rewards measure what their cards say and no more; other prompts, other languages and"
            " other samplings can differ. A gap says nothing about how good the best candidate is."
            + ("" if audit else " These rewards were not audited; palm rewards audit does it."),
        )
    )
    return found


def reading_words(bundle: Bundle, found: Reading) -> str:
    """What readers found who couldn't see whose an answer was, in words.

    Args:
        bundle: that was read.
        found: as recorded in it.
    """
    prompts = f"{found.prompts} {PROMPTS.get(found.split, 'prompts')}"
    words = f"{found.answers} answers to {prompts} by {found.reader}."
    count, fits, partly = found.fit_of([m.policy for m in bundle.manifest.members])
    if count:
        words += f" Of the members' answers {fits:.0%} fit their prompt, {partly:.0%} in part."
    for d in found.preferences:
        if d.won + d.lost:
            words += (
                f" {d.trait}: {bundle.label(d.adapter)} preferred over {bundle.label(d.rival)} in"
                f" {d.won} of {d.won + d.lost} decided pairs."
            )
    if found.agreement:
        told = ", ".join(f"{a.trait} {a.spearman:.2f}" for a in found.agreement)
        words += f" Rank correlation of grades and rewards: {told}."
    return words


def import_words(record: ImportRecord) -> str:
    """Where imported rewards came from and what was done to them, in words."""
    words = f"Imported from {record.source} ({record.rows:,} rows). "
    words += ". ".join(f"{trait}: {done}" for trait, done in record.normalisation.items()) + "."
    if dropped := dropped_words(record):
        words += f" {dropped}"
    return words + (f" The command: {record.command}" if record.command else "")


def dropped_words(record: ImportRecord) -> str:
    """How many policies and prompts were left out, in a sentence; "" where none was."""
    dropped = [f"{n:,} {what}" for what, n in record.dropped.items() if n]
    return f"Dropped for missing cells: {', '.join(dropped)}." if dropped else ""


def _odd(bundle: Bundle, odd: Sequence[Candidate], members: Sequence[int]) -> str:
    inside = [c for c in odd if bundle.row(c.policy) in members]
    listed = "; ".join(f"{c.label} {c.warning}" for c in (inside or odd)[:5])
    if inside:
        return (
            f"Of the members, {listed}. A reward that such answers can win measures something else"
            " than it says: leave them out (Trade-off), or change the reward."
        )
    return f"Of the candidates, {listed}. None of them is a member."


def audit_verdict(audit: RewardAudit) -> str:
    """What a reward audit found, in words; the same on the page, in reports and in the terminal.

    Args:
        audit: as recorded in a bundle.
    """
    tried = sum(a.tried for a in audit.attacks)
    where = f"{audit.prompts} {PROMPTS.get(audit.split, 'prompts')}"
    if audit.passes:
        return (
            f"Audited on {where}: none of {tried} attacks (constant answers, the prompt repeated,"
            " random words, no answer) is ahead of the shipped members by more than"
            f" {audit.most_lead} anywhere." + _kept(audit)
        )
    members = "every member of before" if audit.against else "every shipped member"
    found = "".join(
        f" The best {a.kind} answer is ahead of {members} by {a.lead:.3f} at"
        f" {weights_text(a.at_weights)}, and such answers are ahead for {a.share:.0%} of"
        " uniform users."
        for a in audit.ahead[:1]
    )
    return (
        f"These rewards can be fooled: they failed their audit on {where}.{found}{_kept(audit)}"
        " Gaps are exact for the rewards as they are, and don't say that answers are good."
    )


def _kept(audit: RewardAudit) -> str:
    if audit.shuffled_share is None:
        return ""
    return (
        f" Answers to other prompts keep {audit.shuffled_share:.0%} of the members' gain over the"
        " base."
    )


def _multiplicative(share: float | None) -> str:
    if share is None:
        return " No multiplicative gap is given: the best value isn't above 0 everywhere."
    return (
        f" As a share of the best value, at most {share:.1%} is lost (this moves with where a"
        " trait's zero is)."
    )


def planned_and_reached(bundle: Bundle, portfolio: Sequence[int]) -> list[Reached]:
    """Every candidate that has a plan and the weights it was trained for.

    Empty where nothing was planned.

    Args:
        bundle: that holds the candidates.
        portfolio: rows of the members in use.
    """
    found = []
    for row, candidate in enumerate(bundle.manifest.candidates):
        if candidate.planned is None or candidate.weights is None:
            continue
        w = [candidate.weights[t] for t in bundle.traits]
        planned = sum(
            x * candidate.planned.rewards[t] for x, t in zip(w, bundle.traits, strict=True)
        )
        if bundle.with_cost:
            planned -= candidate.planned.beta * candidate.planned.kl
        reached = float(sum(x * u for x, u in zip(w, bundle.points[row], strict=True)))
        found.append(Reached(candidate.policy, candidate.label, planned, reached, row in portfolio))
    return found


def diversity(bundle: Bundle) -> list[DiversityRow]:
    """Diversity as recorded at the build, with the usage perplexity of uniform users.

    Empty where not recorded.
    """
    certificate = bundle.manifest.certificate
    chosen = bundle.points_on("choose") if certificate else None
    found = []
    for d in certificate.diversity if certificate else ():
        rows = [bundle.policies.index(m) for m in d.members]
        users = usage(bundle.points[rows], bundle.points, population(len(bundle.traits)))
        seen = None
        if chosen is not None:
            seen = worst_gap(chosen[rows], chosen, bundle.region).additive
        found.append(
            DiversityRow(
                TRAINED_AT.get(d.portfolio, d.portfolio),
                d.members,
                d.distance,
                d.vendi,
                users.perplexity,
                d.worst_gap,
                seen,
                expected_gap(bundle.points, rows, bundle.region),
            )
        )
    return found


def as_json(bundle: Bundle, portfolio: tuple[int, ...], bound: Bound | None) -> dict[str, Any]:
    """Everything the page says, for machines."""
    exact = worst_gap(bundle.points[list(portfolio)], bundle.points, bundle.region)
    certificate = bundle.manifest.certificate
    return {
        "bundle": bundle.manifest.name,
        "value": bundle.manifest.value,
        "traits": [t.model_dump(mode="json", exclude_none=True) for t in bundle.manifest.traits],
        "members": [bundle.policies[i] for i in portfolio],
        "scope": "candidates",
        "where": {t: list(bounds) for t, bounds in bundle.manifest.where.items()},
        "worst_gap": {
            "additive": exact.additive,
            "multiplicative": exact.multiplicative,
            "at_weights": dict(
                zip(bundle.traits, map(float, exact.at_weights_additive), strict=True)
            ),
        },
        "expected_gap": expected_gap(bundle.points, portfolio, bundle.region),
        "bound": asdict(bound) if bound else None,
        "statements": [asdict(s) for s in statements(bundle, portfolio, bound)],
        "planned_and_reached": [asdict(r) for r in planned_and_reached(bundle, portfolio)],
        "diversity": [asdict(d) for d in diversity(bundle)],
        "reward_audit": (
            bundle.manifest.reward_audit.model_dump(mode="json", exclude_none=True)
            if bundle.manifest.reward_audit
            else None
        ),
        "reading": (
            bundle.manifest.reading.model_dump(mode="json") if bundle.manifest.reading else None
        ),
        "certificate": (
            certificate.model_dump(mode="json", exclude_none=True) if certificate else None
        ),
    }
