"""The account: every figure is the bundle's, and texts from models stay texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from palm_engine._csv import csv_text
from palm_engine.analysis.account import account, markdown_table, plain, summary
from palm_engine.analysis.aims import Aim, aims, gain_shares
from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.bundle.schema import ReadPreference
from palm_engine.geometry.fields import population, usage
from palm_engine.tables.read import read_reward_table
from tests.support.bundles import read_blind

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return read_bundle(ROOT / "portfolios" / "demo")


def with_reading(demo: Bundle, on_subject: float, won: int, lost: int) -> Bundle:
    member = demo.policies[demo.members[0]]
    trait = demo.traits[0]
    duel = ReadPreference(trait=trait, adapter=member, rival="base", won=won, lost=lost, tied=1)
    reading = read_blind(demo.traits, {member: on_subject}, [duel])
    return Bundle(demo.folder, demo.manifest.model_copy(update={"reading": reading}))


def aim(found: list[Aim], start: str) -> Aim:
    return next(a for a in found if start in a.text)


def test_aims_follow_from_the_bundles_figures(demo: Bundle) -> None:
    certificate = demo.manifest.certificate
    assert certificate is not None
    found = aims(demo)
    bound = aim(found, "bound on the worst gap")
    assert bound.figure == f"{certificate.additive.upper:.4f}"
    assert bound.met == (certificate.additive.upper <= 0.05)
    shares = usage(demo.points[demo.members], demo.points, population(3)).shares
    assert aim(found, "every member answers").met == (shares.min() >= 0.05)
    assert sum(gain_shares(demo).values()) == pytest.approx(1)
    audit = demo.manifest.reward_audit
    if audit is not None:
        lead = aim(found, "no answer that shouldn't be paid")
        assert lead.met == (max(a.lead for a in audit.attacks) <= audit.most_lead)


@pytest.mark.parametrize(("on_subject", "won", "met"), [(0.7, 13, True), (0.69, 12, False)])
def test_what_was_read_is_an_aim(demo: Bundle, on_subject: float, won: int, met: bool) -> None:
    found = aims(with_reading(demo, on_subject, won, 20 - won))
    assert aim(found, "read blind").met == met
    assert aim(found, "preferred over").met == met


def test_the_account_holds_every_part_and_the_notes(demo: Bundle) -> None:
    text = account(with_reading(demo, 0.5, 1, 1), "## What was learnt\n\nMuch.")
    for part in (
        summary(demo),
        markdown_table(demo),
        "## What was learnt\n\nMuch.",
        "## Read blind",
        "## Planned and reached",
        "## Random answers of the members",
    ):
        assert part in text
    for member in demo.manifest.members:
        assert f"`{member.policy}`)" in text
    assert account(demo) == account(demo)


def test_a_bundle_with_figures_only_has_a_short_account(bundles: Path) -> None:
    text = account(read_bundle(bundles / "no-texts"))
    assert "7 candidates" in text
    assert "Random answers" not in text
    assert "certify prompts" not in text


def test_answers_cannot_end_a_table_or_load_an_image(bundles: Path) -> None:
    text = plain("a | b\n![x](http://x.invalid/x.png) <img> `rm` \x1b[2J $x$")
    assert "\n" not in text
    assert "\x1b" not in text
    for letter in "|![<`$":
        at = [i for i, c in enumerate(text) if c == letter]
        assert at
        assert all(text[i - 1] == "\\" for i in at)
    whole = account(read_bundle(bundles / "five"))
    assert "<script" not in whole.replace("\\<script", "")


def test_gains_are_shares_of_the_picked_member(bundles: Path) -> None:
    bundle = read_bundle(bundles / "five")
    shares = gain_shares(bundle)
    even = np.full(5, 0.2)
    picked = max(bundle.members, key=lambda i: bundle.points[i] @ even)
    gains = bundle.rewards[picked] - bundle.rewards[bundle.row("base")]
    assert list(shares.values()) == pytest.approx(gains / gains.sum())


def test_one_who_cheats_is_marked_wherever_candidates_are_listed(
    demo: Bundle, tmp_path: Path
) -> None:
    member = demo.manifest.members[0].policy
    odd = "gives the same answer to every prompt"
    candidates = tuple(
        c.model_copy(update={"warning": odd if c.policy == member else ""})
        for c in demo.manifest.candidates
    )
    marked = Bundle(demo.folder, demo.manifest.model_copy(update={"candidates": candidates}))
    table = markdown_table(marked)
    assert f"| **{member}** ⚠ |" in table
    assert table.endswith(f"(`{member}`) ⚠: {odd}.")
    assert f"(`{member}`) ⚠" in summary(marked)
    assert "⚠" not in markdown_table(demo) + summary(demo)
    # The table of candidates keeps it, and so do portfolios that are chosen from that table.
    (tmp_path / "t.csv").write_text(csv_text(marked.candidates_table()))
    again = read_reward_table(tmp_path / "t.csv")
    assert again.warnings == {member: odd}
    assert again.traits == demo.traits
