"""The certificate on one card: a sentence, and what holds and what doesn't."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from palm_engine.analysis.aims import BOUND, FIT
from palm_engine.analysis.guarantee import why_no_bound
from palm_engine.analysis.story import expected_gap, loss_text, single_of
from palm_engine.bundle.folder import Bundle
from palm_engine.geometry.confidence import Bound
from palm_engine.geometry.gap import worst_gap

State = Literal["holds", "missing", "not"]


@dataclass(frozen=True)
class Check:
    """One line of the card.

    Attributes:
        state: "holds"; "missing" where it could be had and isn't there; "not" for what is never
            promised.
        heading: what it is about.
        text: one sentence.
    """

    state: State
    heading: str
    text: str


@dataclass(frozen=True)
class Promise:
    """What a portfolio promises.

    Attributes:
        sentence: in large type.
        checks: what holds and what doesn't.
        worst: the exact worst gap, additive (scope: candidates).
        upper: its confidence bound, or None.
        confidence: of the bound, or None.
        single: the worst gap of the best single candidate, additive.
        expected: mean additive gap of uniform users (scope: sampled).
        aim: what the bound should be at most; None where nothing was certified.
    """

    sentence: str
    checks: tuple[Check, ...]
    worst: float
    upper: float | None
    confidence: float | None
    single: float
    expected: float
    aim: float | None = None


def promise(bundle: Bundle, portfolio: tuple[int, ...], bound: Bound | None) -> Promise:
    """The card of a portfolio.

    Args:
        bundle: that holds the candidates.
        portfolio: rows of the members.
        bound: on its worst gap, or None.
    """
    points = bundle.points
    exact = worst_gap(points[list(portfolio)], points, bundle.region)
    single = single_of(bundle)
    average = expected_gap(points, portfolio, bundle.region)
    alone = worst_gap(points[[single]], points, bundle.region)
    who = "this one model" if len(portfolio) == 1 else f"one of these {len(portfolio)} models"
    best = f"the best of {len(points)}"
    loss = (
        f"{loss_text(exact.multiplicative, True, '')} of what {best} would give"
        if exact.multiplicative is not None
        else f"{loss_text(exact.additive, False, bundle.unit)} against {best}"
    )
    checks = [
        Check(
            "holds",
            "Every preference",
            f"Exact over all weights of {', '.join(bundle.traits)}"
            f"{bundle.where_text}, not a sample of them. On average users lose {average:.4f}, the"
            f" worst-off {exact.additive:.4f}.",
        ),
        _prompts(bundle, bound),
        _one_model(bundle, single, exact.additive, alone.additive),
        _rewards(bundle),
        *_read(bundle),
        Check(
            "not",
            "Not promised",
            "Models that were never trained, prompts of another kind, and that the best of these"
            " models is a good one.",
        ),
    ]
    return Promise(
        sentence=f"Whatever a user prefers{bundle.where_text}, {who} loses at most {loss}.",
        checks=tuple(checks),
        worst=exact.additive,
        upper=None if bound is None else bound.upper,
        confidence=None if bound is None else bound.confidence,
        single=alone.additive,
        expected=average,
        aim=None if bundle.manifest.certificate is None else BOUND,
    )


def _prompts(bundle: Bundle, bound: Bound | None) -> Check:
    if bound is None:
        text = f"No bound: rewards are taken as they stand. {why_no_bound(bundle)}"
        return Check("missing", "Other prompts", text)
    return Check(
        "holds",
        "Other prompts",
        f"{bound.confidence:.0%} certain that the worst gap is at most {bound.upper:.3f} on prompts"
        f" like the {bound.prompts} it was measured on (estimate {bound.estimate:.3f}).",
    )


def _one_model(bundle: Bundle, single: int, ours: float, alone: float) -> Check:
    better = alone > ours
    text = (
        f"The best single model, {bundle.labels[single]}, has a worst gap of {alone:.3f}; this"
        f" portfolio has {ours:.3f}."
    )
    return Check("holds" if better else "missing", "Against one model", text)


def _rewards(bundle: Bundle) -> Check:
    audit = bundle.manifest.reward_audit
    if audit is None:
        return Check("missing", "Rewards", "Not audited: palm rewards audit tries to fool them.")
    tried = sum(a.tried for a in audit.attacks)
    if audit.passes:
        text = f"None of {tried} attempts to fool them leads by more than {audit.most_lead}."
        return Check("holds", "Rewards", text)
    return Check(
        "missing",
        "Rewards",
        f"They can be fooled: {tried} attempts were made, and the audit failed.",
    )


def _read(bundle: Bundle) -> list[Check]:
    """What readers found; nothing where there are no answers to read."""
    reading = bundle.manifest.reading
    if reading is None:
        if bundle.samples.empty or not bundle.members:
            return []
        text = "Nobody has read answers blind: palm reading draws the sheets."
        return [Check("missing", "Read blind", text)]
    count, _, share = reading.fit_of([m.policy for m in bundle.manifest.members])
    if not count:
        return []
    return [
        Check(
            "holds" if share >= FIT else "missing",
            "Read blind",
            f"Of {count} answers of these models {share:.0%} fit their question, at least in part.",
        )
    ]
