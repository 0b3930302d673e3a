"""Guarantee under AppTest: the promise in use, the audit, the printed report."""

from __future__ import annotations

import html
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.components.export.report import report
from palm_engine.analysis.guarantee import audit_verdict
from palm_engine.analysis.worst_served import worst_user
from palm_engine.bundle.folder import read_bundle
from palm_engine.bundle.schema import Attack, RewardAudit
from palm_engine.bundle.writing import rewrite_manifest
from palm_engine.geometry.gap import worst_gap
from tests.support.bundles import make_bundle
from tests.support.pages import ROOT, app_on, curve_of, settle, texts, turn_to


def test_the_guarantee_is_of_the_portfolio_in_use(open_app: Any, bundles: Path) -> None:
    bundle = read_bundle(bundles / "demo")
    app = open_app(page="guarantee")
    worst = worst_gap(bundle.points[bundle.members], bundle.points)
    assert f"Worst gap {worst.additive:.4f} (exact over all weights)" in texts(app)
    card = next(h.proto.body for h in app.get("html") if 'data-part="promise"' in h.proto.body)
    assert (
        f"loses at most {100 * (worst.multiplicative or 0):.1f} % of what the best of 7 would give"
        in card
    )
    assert [card.count(f'aria-label="{s}"') for s in ("holds", "missing", "not promised")] == [
        2,
        3,
        1,
    ]
    assert "Confidence" in texts(app)
    behind = [h.proto.body for h in app.get("html") if "best candidate, value" in h.proto.body]
    assert len(behind) == 5
    turn_to(app, "tradeoff")
    app.segmented_control[0].set_value(1).run()
    settle(app)
    turn_to(app, "guarantee")
    assert "the one member" in texts(app)
    assert "Whatever a user prefers, this one model loses" in texts(app)


def test_rewards_that_failed_their_audit_are_the_first_words_of_the_guarantee(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.bundles import NASTY

    bundle = make_bundle(tmp_path / "demo")
    corner = {t: float(t == bundle.traits[0]) for t in bundle.traits}
    attack = Attack(
        kind="constant", tried=7, lead=0.31, at_weights=corner, share=0.6, example=NASTY
    )
    audit = RewardAudit(split="choose", prompts=5, seed=0, attacks=(attack,), shuffled_share=0.8)
    rewrite_manifest(bundle, bundle.manifest.model_copy(update={"reward_audit": audit}))
    app = app_on(tmp_path, monkeypatch)
    turn_to(app, "guarantee")
    assert not app.exception, [e.value for e in app.exception]
    assert [t.value for t in app.text if "can be fooled" in t.value] == [audit_verdict(audit)]
    said = texts(app)
    assert "0.310 at" in said
    assert "80%" in said
    table = next(d.value for d in app.dataframe if "attack" in d.value)
    assert list(table["answer"]) == [NASTY]
    page = report(read_bundle(bundle.folder), tuple(bundle.members), None, curve_of(bundle))
    assert page.index("can be fooled") < page.index("Promise")


def test_the_printed_report_has_map_curve_date_and_promise(bundles: Path) -> None:
    shipped = read_bundle(ROOT / "portfolios" / "demo")
    page = report(shipped, tuple(shipped.members), None, curve_of(shipped))
    assert page.count("<polygon") >= 4
    assert "On average users lose 0." in page
    assert "The user who is served worst" in page
    user = worst_user(shipped, tuple(shipped.members))
    assert user is not None
    assert html.escape(user.member_text.split("\n")[0])[:40] in page
    assert "Worst gap by portfolio size" in page
    assert 'class="interval"' in page
    assert "tolerated" not in page.replace("is tolerated", "")
    bound = shipped.manifest.certificate.additive if shipped.manifest.certificate else None
    drawn = report(shipped, tuple(shipped.members), bound, curve_of(shipped), 0.05)
    assert f"95% bound {bound.upper:.3f}" in drawn if bound else False
    assert "tolerated 0.050" in drawn
    assert f"{time.strftime('%B %Y', time.gmtime())}" in page
    assert "Whatever a user prefers, one of these 4 models loses at most" in page
    assert "http" not in page.replace("http-equiv", "")
    two = read_bundle(bundles / "two")
    page = report(two, tuple(two.members), None, curve_of(two))
    assert page.count("<svg") == 2, "no map of two traits"
    assert "bound for all sizes" not in page


def test_a_report_of_bounds_that_are_all_zero_is_printed() -> None:
    shipped = read_bundle(ROOT / "portfolios" / "demo")
    found = curve_of(shipped)
    flat = replace(found, choose=(0.0,) * len(found.sizes), upper=(0.0,) * len(found.sizes))
    page = report(shipped, tuple(shipped.members), None, flat)
    assert "Worst gap by portfolio size" in page


def test_what_is_known_of_a_reward_has_lines_of_its_own_in_the_report() -> None:
    shipped = read_bundle(ROOT / "portfolios" / "demo")
    page = report(shipped, tuple(shipped.members), None, curve_of(shipped))
    page = html.unescape(page)
    known = [pair for t in shipped.manifest.traits for pair in (t.card or {}).items()]
    assert len(known) >= 3
    for key, value in known:
        assert f"<br>{key.replace('_', ' ')}: {value}" in page
