"""The card says what holds by the bundle's own numbers, and what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from palm_engine.analysis.promise import promise
from palm_engine.analysis.story import single_of
from palm_engine.bundle.folder import read_bundle
from palm_engine.bundle.schema import Attack, RewardAudit
from palm_engine.geometry.confidence import Bound
from palm_engine.geometry.gap import worst_gap
from tests.support.bundles import read_blind

BOUND = Bound(estimate=0.1, upper=0.2, lower=0.0, confidence=0.95, prompts=40, resamples=100)


def test_the_card_of_a_portfolio(bundles: Path) -> None:
    bundle = read_bundle(bundles / "demo")
    told = promise(bundle, tuple(bundle.members), None)
    exact = worst_gap(bundle.points[bundle.members], bundle.points)
    assert told.worst == exact.additive
    assert f"{100 * (exact.multiplicative or 0):.1f} %" in told.sentence
    assert told.single == pytest.approx(
        min(worst_gap(bundle.points[[i]], bundle.points).additive for i in range(7))
    )
    states = {c.heading: c.state for c in told.checks}
    assert states == {
        "Every preference": "holds",
        "Other prompts": "missing",
        "Against one model": "holds",
        "Rewards": "missing",
        "Read blind": "missing",
        "Not promised": "not",
    }


def test_a_bound_and_an_audit_change_what_holds(bundles: Path) -> None:
    bundle = read_bundle(bundles / "demo")
    corner = {t: float(t == bundle.traits[0]) for t in bundle.traits}
    for lead, expected in ((-0.1, "holds"), (0.3, "missing")):
        attack = Attack(
            kind="constant", tried=7, lead=lead, at_weights=corner, share=0.0, example="x"
        )
        audit = RewardAudit(
            split="choose", prompts=5, seed=0, attacks=(attack,), shuffled_share=0.1
        )
        manifest = bundle.manifest.model_copy(update={"reward_audit": audit})
        told = promise(replace(bundle, manifest=manifest), tuple(bundle.members), BOUND)
        states = {c.heading: c.state for c in told.checks}
        assert states["Rewards"] == expected
        assert states["Other prompts"] == "holds"
        assert (told.upper, told.confidence) == (0.2, 0.95)


def test_one_model_is_not_better_than_itself(bundles: Path) -> None:
    bundle = read_bundle(bundles / "demo")
    told = promise(bundle, (single_of(bundle),), None)
    assert {c.heading: c.state for c in told.checks}["Against one model"] == "missing"
    assert "this one model" in told.sentence


@pytest.mark.parametrize(("share", "state"), [(0.7, "holds"), (0.6, "missing")])
def test_what_was_read_is_on_the_card(bundles: Path, share: float, state: str) -> None:
    bundle = read_bundle(bundles / "demo")
    reading = read_blind(bundle.traits, {"m1": share, "base": 0.1})
    manifest = bundle.manifest.model_copy(update={"reading": reading})
    told = promise(replace(bundle, manifest=manifest), tuple(bundle.members), None)
    check = next(c for c in told.checks if c.heading == "Read blind")
    assert check.state == state
    assert f"Of 10 answers of these models {share:.0%} fit" in check.text
    # A table has no answers to read.
    plain = read_bundle(bundles / "no-texts")
    headings = [c.heading for c in promise(plain, tuple(plain.members), None).checks]
    assert "Read blind" not in headings
