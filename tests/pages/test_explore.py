"""Explore under AppTest: weights, the picked member, what the panel gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palm_engine.bundle.folder import read_bundle
from palm_engine.bundle.writing import rewrite_manifest
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.pick import pick_info
from tests.support.bundles import make_bundle
from tests.support.pages import app_on, panel, turn_to


def panel_about(folder: Path) -> list[str]:
    """What the panel says of each candidate of a bundle."""
    from app.components.panel import describe

    bundle = read_bundle(folder)
    return [describe(bundle, c) for c in bundle.manifest.candidates]


def test_answers_follow_the_weights(open_app: Any, bundles: Path) -> None:
    app = open_app()
    bundle = read_bundle(bundles / "demo")
    seen = set()
    for raw in ((50, 50, 50), (100, 0, 0), (0, 100, 0), (0, 0, 100)):
        app.session_state["raw.demo"] = list(raw)
        app.run()
        expected = pick_info(bundle.points, bundle.members, np.array(raw) / sum(raw))
        name = bundle.policies[expected.member]
        shown = next(h.proto.body for h in app.get("html") if "<article" in h.proto.body)
        cards = [card for card in shown.split("<article") if "picked at your weights" in card]
        assert len(cards) == 1
        assert f">{name}</div>" in cards[0]
        assert panel(app)["raw"] == list(raw)
        seen.add(name)
    exact = worst_gap(bundle.points[bundle.members], bundle.points)
    assert panel(app)["worst"]["additive"] == exact.additive
    assert len(seen) > 1


def test_answers_are_escaped_never_markup(open_app: Any) -> None:
    app = open_app()
    shown = "\n".join(h.proto.body for h in app.get("html"))
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert not any("script" in str(m.value) for m in app.markdown)


def test_the_panel_gets_every_member_and_where_it_was_trained(open_app: Any, bundles: Path) -> None:
    shown = panel(open_app())
    bundle = read_bundle(bundles / "demo")
    assert shown["names"] == ["m1", "m2", "m3"]
    assert shown["members"] == bundle.points[bundle.members].round(9).tolist()
    assert shown["trained"][0] == [bundle.manifest.members[0].weights[t] for t in bundle.traits]


def test_weights_are_kept_when_the_page_is_left(open_app: Any) -> None:
    app = open_app()
    app.session_state["raw.demo"] = [50.0, 90.0, 50.0]
    app.run()
    turn_to(app, "tradeoff")
    turn_to(app, "explore")
    assert panel(app)["raw"] == [50, 90, 50]


def test_a_soup_and_a_mixture_are_told_from_the_base(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "portfolios" / "some")
    weights = {"m1": 0.6, "m2": 0.4}
    changes: dict[str, dict[str, Any]] = {
        "m1": {"adapter": "adapters/m1"},
        "m2": {"adapter": "adapters/m2"},
        "m3": {"kind": "soup", "soup": weights},
        "m4": {"kind": "mixture", "soup": None, "mixture": weights, "adapter": None},
    }
    candidates = tuple(
        c.model_copy(update=changes.get(c.policy, {})) for c in made.manifest.candidates
    )
    rewrite_manifest(made, made.manifest.model_copy(update={"candidates": candidates}))
    about = dict(zip(made.policies, panel_about(made.folder), strict=True))
    assert about["m3"].startswith("A soup: adapters added up with weights (60% m1, 40% m2)")
    assert about["m4"].startswith("A mixture of 2 passes per token (60% m1, 40% m2)")
    assert about["base"].startswith("The base model, not trained")


@pytest.mark.parametrize("d", [2, 3, 5])
def test_members_that_nobody_picks_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, d: int
) -> None:
    made = make_bundle(tmp_path / "demo", d=d)
    # Worse than another in every trait: no weights ask for it.
    worse = dict.fromkeys(made.traits, 0.01)
    candidates = tuple(
        c.model_copy(update={"rewards": worse}) if c.policy == "m2" else c
        for c in made.manifest.candidates
    )
    rewrite_manifest(
        made, made.manifest.model_copy(update={"candidates": candidates, "certificate": None})
    )
    shown = panel(app_on(tmp_path, monkeypatch))
    assert shown["idle"] == ["m2"]
    values = read_bundle(made.folder).points[list(made.members)]
    users = np.random.default_rng(0).dirichlet(np.ones(d), 2_000)
    picked = {made.policies[made.members[i]] for i in np.argmax(users @ values.T, axis=1)}
    assert picked.isdisjoint(shown["idle"])
