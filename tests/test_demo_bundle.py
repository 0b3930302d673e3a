"""The shipped demo keeps what it promises.

Its size, its make-up, and its certificate against its own samples.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from palm_engine.analysis.account import account
from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.geometry.gap import worst_additive_gap
from palm_engine.pipeline.evaluate import prompt_means
from palm_engine.selection.minimum import minimum
from palm_engine.selection.parts.average import with_least_expected_gap
from palm_engine.selection.result import Target

# As configs/demo.toml has it by default: [selection] slack.
SLACK = 0.05
FOLDER = Path(__file__).resolve().parent.parent / "portfolios" / "demo"


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return read_bundle(FOLDER)


def test_it_is_small_and_holds_no_pickle() -> None:
    files = [p for p in FOLDER.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 45e6
    assert {p.suffix for p in files} == {".json", ".parquet", ".safetensors"}


def test_its_candidates_are_what_the_issue_asks_for(demo: Bundle) -> None:
    candidates = demo.manifest.candidates
    adapters = [c for c in candidates if c.kind == "adapter"]
    assert 12 <= len(candidates) <= 17
    assert sum(c.kind == "base" for c in candidates) == 1
    assert sum(c.kind == "prompted" for c in candidates) == 3
    assert sum(c.kind == "soup" for c in candidates) == 3
    assert len(adapters) == 10
    assert sum(c.role == "corner" for c in adapters) == 3
    assert all(
        c.planned and c.kl and set(c.evaluated) == {"train", "choose", "certify"} for c in adapters
    )
    assert len(demo.members) == 4
    assert all(demo.manifest.candidates[i].display_name for i in demo.members)


def test_splits_are_as_large_as_promised_with_an_answer_each(demo: Bundle) -> None:
    sizes = demo.prompts["split"].value_counts()
    assert sizes["train"] >= 300
    assert sizes["choose"] >= 180
    assert sizes["certify"] == 240
    held_out = demo.prompts.loc[demo.prompts["split"] != "train", "prompt_id"]
    counts = (
        demo.samples[demo.samples["prompt_id"].isin(held_out)]
        .groupby(["policy", "prompt_id"])
        .size()
    )
    assert (counts == 1).all()
    assert (counts.index.get_level_values(0) == demo.policies[0]).sum() == len(held_out)


def test_members_and_gaps_follow_from_the_recorded_samples(demo: Bundle) -> None:
    certificate = demo.manifest.certificate
    assert certificate is not None
    ids = {
        s: list(demo.prompts.loc[demo.prompts["split"] == s, "prompt_id"])
        for s in ("choose", "certify")
    }
    choose = prompt_means(demo.samples, demo.policies, ids["choose"], demo.traits).mean(axis=0)
    least = minimum(choose, Target(k=4))
    found = with_least_expected_gap(choose, least, SLACK)
    assert sorted(demo.members) == list(found.members)
    assert found.gap.additive == pytest.approx(certificate.choose_gap, abs=1e-9)
    assert least.gap.additive == pytest.approx(certificate.choose_lower_bound, abs=1e-6)
    certify = prompt_means(demo.samples, demo.policies, ids["certify"], demo.traits).mean(axis=0)
    assert certify == pytest.approx(demo.points, abs=1e-5)
    assert worst_additive_gap(certify[demo.members], certify) == pytest.approx(
        certificate.additive.estimate, abs=1e-9
    )


def test_the_members_are_better_than_any_one_candidate(demo: Bundle) -> None:
    certificate = demo.manifest.certificate
    assert certificate is not None
    assert certificate.single_best_minus_members.lower > 0


def test_the_account_is_the_bundles(demo: Bundle) -> None:
    root = FOLDER.parents[1]
    notes = (root / "data" / "notes.md").read_text(encoding="utf-8")
    assert (root / "docs" / "demo.md").read_text(encoding="utf-8") == account(demo, notes)


def test_what_it_was_compared_with_and_who_read_it_is_recorded(demo: Bundle) -> None:
    found = demo.manifest.interpolation
    assert found is not None
    assert found.corners == ("lora-100-00-00", "lora-00-100-00", "lora-00-00-100")
    assert sum(not r.is_member for r in found.rows) >= 10
    reading = demo.manifest.reading
    assert reading is not None
    members = {m.policy for m in demo.manifest.members}
    assert members <= {p.policy for p in reading.policies}
    assert members | set(found.corners) <= {p.policy for p in reading.policies}
    assert reading.fit_of(members | set(found.corners))[0] >= 120


def test_what_its_rewards_can_be_fooled_by_is_recorded(demo: Bundle) -> None:
    """One constant joke; not the prompt repeated, random words or silence."""
    audit = demo.manifest.reward_audit
    assert audit is not None
    assert {a.kind for a in audit.attacks} == {"constant", "parrot", "random words", "empty"}
    assert {a.kind for a in audit.ahead} <= {"constant"}
    assert audit.shuffled_share is not None
    assert audit.shuffled_share <= audit.most_shuffled


def test_each_corner_beats_the_base_in_its_own_trait(demo: Bundle) -> None:
    certificate = demo.manifest.certificate
    assert certificate is not None
    tests = [t for t in certificate.corner_tests if t.rival == "base"]
    assert {t.trait for t in tests} == set(demo.traits)
    assert [t for t in tests if t.difference.lower <= 0] == []
