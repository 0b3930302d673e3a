"""What a portfolio should be able to show, and whether it does: met or missed, with the figure.

Aims are of trained portfolios with a certificate; what a bundle doesn't hold is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from palm_engine.analysis.guarantee import planned_and_reached
from palm_engine.bundle.folder import Bundle
from palm_engine.geometry.fields import population, usage
from palm_engine.geometry.pick import pick_info

BOUND = 0.05
SHARE = 0.05
SHORTFALL = 0.08
HALF = 0.5
FIT = 0.7
PREFERRED = 0.65
FALLS_UNTIL = 4


@dataclass(frozen=True)
class Aim:
    """One aim.

    Attributes:
        text: what is aimed at.
        figure: what is.
        met: whether that is enough.
    """

    text: str
    figure: str
    met: bool


def aims(bundle: Bundle) -> list[Aim]:
    """All aims that the bundle holds figures for.

    Args:
        bundle: with members.
    """
    found = list(_certified(bundle)) + list(_users(bundle))
    audit = bundle.manifest.reward_audit
    if audit is not None:
        lead = max(a.lead for a in audit.attacks)
        found.append(
            Aim(
                f"no answer that shouldn't be paid leads by more than {audit.most_lead}",
                f"largest lead {lead:+.3f}",
                lead <= audit.most_lead,
            )
        )
        if audit.shuffled_share is not None:
            found.append(
                Aim(
                    f"answers to other prompts keep at most {audit.most_shuffled:.0%} of the gain",
                    f"{audit.shuffled_share:.0%}",
                    audit.shuffled_share <= audit.most_shuffled,
                )
            )
    return found + list(_read(bundle))


def gain_shares(bundle: Bundle) -> dict[str, float]:
    """Each trait's share of what the portfolio gains over the base at equal weights.

    Empty without a base, or where nothing is gained.
    """
    base = next((i for i, c in enumerate(bundle.manifest.candidates) if c.kind == "base"), None)
    if base is None or not bundle.members:
        return {}
    even = np.full(len(bundle.traits), 1 / len(bundle.traits))
    picked = pick_info(bundle.points, bundle.members, even).member
    gains = bundle.rewards[picked] - bundle.rewards[base]
    if gains.sum() <= 0:
        return {}
    return {t: float(g / gains.sum()) for t, g in zip(bundle.traits, gains, strict=True)}


def _certified(bundle: Bundle) -> Iterator[Aim]:
    certificate = bundle.manifest.certificate
    if certificate is None:
        return
    upper = certificate.additive.upper
    sure = f"{certificate.additive.confidence:.0%}"
    yield Aim(f"{sure} bound on the worst gap at most {BOUND}", f"{upper:.4f}", upper <= BOUND)
    gaps = [p.gap.estimate for p in certificate.curve][:FALLS_UNTIL]
    if len(gaps) == FALLS_UNTIL:
        yield Aim(
            f"the worst gap falls with every member up to {FALLS_UNTIL}",
            ", ".join(f"{g:.4f}" for g in gaps),
            all(a > b for a, b in pairwise(gaps)),
        )
    best = certificate.single_best_minus_members
    yield Aim(
        "no single candidate does as well",
        f"worst gap larger by {best.estimate:.4f}, at least {best.lower:.4f}",
        best.lower > 0,
    )
    tests = certificate.corner_tests
    if tests:
        held = sum(t.difference.lower > 0 for t in tests)
        yield Aim(
            "each corner adapter is ahead of base and other corners in its trait, by every judge",
            f"{held} of {len(tests)} comparisons",
            held == len(tests),
        )
    reached = planned_and_reached(bundle, bundle.members)
    if reached:
        short = float(np.mean([r.planned - r.reached for r in reached]))
        yield Aim(
            f"adapters fall at most {SHORTFALL} short of their plan, on average",
            f"{short:.3f}",
            short <= SHORTFALL,
        )


def _users(bundle: Bundle) -> Iterator[Aim]:
    if not bundle.members:
        return
    users = population(len(bundle.traits))
    own = usage(bundle.points[bundle.members], bundle.points, users)
    yield Aim(
        f"every member answers at least {SHARE:.0%} of uniform users",
        ", ".join(
            f"{bundle.labels[i]} {s:.0%}" for i, s in zip(bundle.members, own.shares, strict=True)
        ),
        bool((own.shares >= SHARE).all()),
    )
    certificate = bundle.manifest.certificate
    smaller = [p for p in (certificate.curve if certificate else ()) if p.k < len(bundle.members)]
    if smaller:
        expected = [
            usage(bundle.points[[bundle.row(m) for m in p.members]], bundle.points, users).mean_gap
            for p in smaller
        ]
        yield Aim(
            "no smaller portfolio of the curve serves the average user better",
            f"expected gap {own.mean_gap:.4f}; smaller: {', '.join(f'{e:.4f}' for e in expected)}",
            own.mean_gap <= min(expected) + 1e-9,
        )
    shares = gain_shares(bundle)
    if shares:
        yield Aim(
            f"at equal weights no trait brings more than {HALF:.0%} of the gain over the base",
            ", ".join(f"{t} {s:.0%}" for t, s in shares.items()),
            max(shares.values()) <= HALF,
        )


def _read(bundle: Bundle) -> Iterator[Aim]:
    reading = bundle.manifest.reading
    if reading is None:
        return
    count, _, share = reading.fit_of([m.policy for m in bundle.manifest.members])
    if count:
        yield Aim(
            f"read blind, at least {FIT:.0%} of the members' answers fit, at least in part",
            f"{share:.0%}",
            share >= FIT,
        )
    for p in reading.preferences:
        decided = p.won + p.lost
        share = p.won / decided if decided else 0.0
        yield Aim(
            f"{p.trait}: {bundle.label(p.adapter)} preferred over {bundle.label(p.rival)} in at"
            f" least {PREFERRED:.0%} of decided pairs",
            f"{share:.0%} of {decided}",
            share >= PREFERRED,
        )
