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
from palm_engine.selection.result import Target

FOLDER = Path(__file__).resolve().parent.parent / "portfolios" / "demo"


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return read_bundle(FOLDER)


def test_it_is_small_and_holds_no_pickle() -> None:
    files = [p for p in FOLDER.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 60e6
    assert {p.suffix for p in files} == {".json", ".parquet", ".safetensors"}


def test_its_candidates_are_what_the_issue_asks_for(demo: Bundle) -> None:
    candidates = demo.manifest.candidates
    adapters = [c for c in candidates if c.kind == "adapter"]
    assert sum(c.kind == "base" for c in candidates) == 1
    assert sum(c.kind == "prompted" for c in candidates) >= 3
    assert sum(c.role in ("corner", "plan", "uniform", "spread") for c in adapters) >= 14
    assert len(demo.manifest.outside) == 3
    assert all(
        c.planned and c.kl and set(c.evaluated) == {"train", "choose", "certify"} for c in adapters
    )
    assert len(demo.members) == 5


def test_splits_are_as_large_as_promised_with_two_answers_each(demo: Bundle) -> None:
    sizes = demo.prompts["split"].value_counts()
    assert sizes["train"] >= 64
    assert sizes["choose"] >= 100
    assert sizes["certify"] >= 200
    held_out = demo.prompts.loc[demo.prompts["split"] != "train", "prompt_id"]
    counts = (
        demo.samples[demo.samples["prompt_id"].isin(held_out)]
        .groupby(["policy", "prompt_id"])
        .size()
    )
    assert (counts == 2).all()
    assert (counts.index.get_level_values(0) == demo.policies[0]).sum() == len(held_out)


def test_members_and_gaps_follow_from_the_recorded_samples(demo: Bundle) -> None:
    certificate = demo.manifest.certificate
    assert certificate is not None
    ids = {
        s: list(demo.prompts.loc[demo.prompts["split"] == s, "prompt_id"])
        for s in ("choose", "certify")
    }
    choose = prompt_means(demo.samples, demo.policies, ids["choose"], demo.traits).mean(axis=0)
    found = minimum(choose, Target(k=5))
    assert found.gap.additive == pytest.approx(certificate.choose_gap, abs=1e-9)
    certify = prompt_means(demo.samples, demo.policies, ids["certify"], demo.traits).mean(axis=0)
    assert certify == pytest.approx(demo.points, abs=1e-5)
    assert worst_additive_gap(certify[demo.members], certify) == pytest.approx(
        certificate.additive.estimate, abs=1e-9
    )


def test_the_five_are_better_than_any_one_candidate(demo: Bundle) -> None:
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
    assert reading.fit_of(members)[0] >= 120


def test_each_corner_beats_the_base_and_the_other_corners_in_its_own_trait(demo: Bundle) -> None:
    certificate = demo.manifest.certificate
    assert certificate is not None
    tests = certificate.corner_tests
    assert (
        len(tests) == 3 * 5
    )  # three rivals, five judges (brevity has one, humor and safety two each)
    assert [t for t in tests if t.difference.lower <= 0] == []
