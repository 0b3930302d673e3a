"""Coverage under AppTest: fields, thresholds, users of every source."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import palm_engine as palm
from palm_engine.analysis import curves
from palm_engine.analysis.curves import best_of_every_size
from palm_engine.bundle.folder import read_bundle
from palm_engine.bundle.writing import rewrite_manifest
from palm_engine.geometry.gap import worst_gap
from tests.support.bundles import make_bundle
from tests.support.pages import app_on, panel, settle, texts, turn_to


@pytest.mark.parametrize(
    "kind", ["Picked member", "Gap", "Gap in percent", "Best value", "A trait", "Difference"]
)
def test_coverage_shows_every_field(open_app: Any, kind: str) -> None:
    app = open_app(page="coverage")
    app.segmented_control(key="field.demo").set_value(kind).run()
    assert not app.exception
    expected = {
        "Picked member": "member",
        "Gap in percent": "multiplicative",
        "Best value": "best",
        "A trait": "trait",
    }
    shown = panel(app)
    assert shown["field"]["kind"] == expected.get(kind, kind.lower())
    assert (shown["threshold"] is not None) == (kind in ("Gap", "Gap in percent"))
    assert bool(shown["other"]) == (kind == "Difference")


def test_coverage_counts_what_is_within_the_threshold(open_app: Any, bundles: Path) -> None:
    app = open_app(page="coverage")
    bundle = read_bundle(bundles / "demo")
    worst = worst_gap(bundle.points[bundle.members], bundle.points).additive
    app.slider(key="tolerance.demo").set_value(round(worst + 0.001, 3)).run()
    assert app.metric[0].value == "100.0%"
    app.slider(key="tolerance.demo").set_value(0.001).run()
    assert app.metric[0].value != "100.0%"
    # One quantity has one slider: the map, its share and your users follow it.
    assert [s.key for s in app.slider] == ["tolerance.demo"]
    assert panel(app)["threshold"] == 0.001
    within = {m.label: m.value for m in app.metric}
    assert within["Of all weights within 0.001"] == app.metric[0].value
    assert within["Lose at most 0.001"] == app.metric[0].value


def test_coverage_shows_its_map_before_every_size_is_known(
    open_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    whole = curves.best_of_every_size

    def slow(*arguments: Any, **options: Any) -> Any:
        let_go.wait(60)
        return whole(*arguments, **options)

    monkeypatch.setattr(curves, "best_of_every_size", slow)
    try:
        app = open_app(page="coverage")
        assert not app.exception
        assert [s.key for s in app.slider] == ["tolerance.demo"]
        assert panel(app)["threshold"] == app.slider[0].value
        assert any(m.label.startswith("Of all weights within") for m in app.metric)
    finally:
        let_go.set()


def test_populations_spread_over_the_members(open_app: Any, bundles: Path) -> None:
    app = open_app(page="coverage")
    uniform = [m.value for m in app.metric]
    app.segmented_control(key="users.demo").set_value("Around a mix").run()
    app.number_input(key="mix-1.demo").set_value(40.0).run()
    assert [m.value for m in app.metric] != uniform
    app.segmented_control(key="users.demo").set_value("Uploaded").run()
    assert "Upload a table" in texts(app)
    app.file_uploader[0].set_value(
        ("users.csv", b"safety,humor,brevity\n1,0,0\n0,1,x\n", "text/csv")
    ).run()
    assert "users.csv, row 3, column brevity" in texts(app)
    app.file_uploader[0].set_value(
        ("users.csv", b"safety,humor,brevity\n1,0,0\n0,1,0\n", "text/csv")
    ).run()
    assert "2 users of users.csv" in texts(app)
    app.file_uploader[0].set_value(
        (
            "users.csv",
            b"Safety;Humor;Brevity;Count;Segment\n100;0;0;1200;support\n0;100;0;300;sales\n",
            "text/csv",
        )
    ).run()
    assert "1,500 users in 2 rows of users.csv" in texts(app)
    segments = next(d.value for d in app.dataframe if "segment" in d.value)
    assert sorted(segments["segment"]) == ["everybody", "sales", "support"]
    # What was uploaded and chosen is still there when the page is opened again.
    turn_to(app, "guarantee")
    turn_to(app, "coverage")
    assert "1,500 users in 2 rows of users.csv" in texts(app)
    assert "1,500 users lose " in texts(settle(app))
    assert "With one model alone" in texts(app)
    assert "% of your users are within what is tolerated" in texts(app)
    # Without a brush: from a list.
    app.selectbox(key="look_at.demo").set_value("segment support").run()
    assert "Brushed: 1,200 of 1,500 users" in texts(app)
    assert app.query_params["look-at"] in ("segment support", ["segment support"])
    app.selectbox(key="after.demo").set_value("the best 1").run()
    bundle = read_bundle(bundles / "demo")
    users = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    best = (users @ bundle.points.T).max(axis=1)
    info = best_of_every_size(bundle.points, bundle.policies)
    alone = bundle.points[bundle.row(info.members[0][0])]
    shares = np.array([1200, 300]) / 1500
    lost = float(shares @ (best - users @ alone))
    metric = next(m for m in app.metric if m.label == "Lost on average, with the best 1")
    assert float(metric.value) == pytest.approx(lost, abs=5e-5)
    ours = next(m for m in app.metric if m.label == "Lost on average")
    assert float(metric.delta) == pytest.approx(lost - float(ours.value), abs=1e-4)
    assert app.query_params["after"] in ("the best 1", ["the best 1"])


def test_what_a_gateway_recorded_is_a_population(
    open_app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlalchemy")
    from datetime import UTC, datetime

    from palm_engine.serving.profiles.database import Database
    from palm_engine.serving.profiles.profile import Asked
    from palm_engine.serving.profiles.store import Profiles

    url = f"sqlite:///{tmp_path / 'users.db'}"
    database = Database(url)
    profiles = Profiles(database)
    monkeypatch.setenv("PALM_DATABASE", url)
    app = open_app(page="coverage")
    app.segmented_control(key="users.demo").set_value("Recorded").run()
    assert "No request of demo with weights is recorded yet" in texts(app)

    def asked(source: str, bundle: str, **weights: float) -> Asked:
        return Asked(datetime.now(UTC), weights, source, "m1", 0.0, bundle)

    profiles.record(
        [asked("set", "demo", safety=0.5, humor=0.5, brevity=0.0)] * 3
        + [asked("request", "demo", safety=0.0, humor=1.0, brevity=0.0)]
        + [asked("default", "demo", safety=1 / 3, humor=1 / 3, brevity=1 / 3)] * 2
        + [asked("set", "another", wit=1.0)]
    )
    database.close()
    from app import cache

    cache.recorded_traffic.clear()
    app.run()
    assert "4 requests that the gateway recorded; 2 more gave no weights" in texts(app)
    assert "4 users lose " in texts(settle(app))
    segments = next(d.value for d in app.dataframe if "segment" in d.value)
    assert sorted(segments["segment"]) == ["everybody", "request", "set"]
    monkeypatch.setenv("PALM_DATABASE", "mysql://ada:hunter2@host/x")
    cache.recorded_traffic.clear()
    app.run()
    assert "isn't supported" in texts(app)
    assert "hunter2" not in texts(app)


def test_users_who_do_not_add_traits_up_are_served_as_the_engine_says(
    open_app: Any, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = read_bundle(bundles / "demo")
    own = [bundle.policies[i] for i in bundle.members]
    app = settle(open_app(page="coverage"))
    assert "makes up for a little less of another" in texts(app)
    for kind, asked in (
        ("A lack counts", {"mean": 0.0}),
        ("Weakest trait", {"chebyshev": True}),
        ("Required", {"at_least": {"safety": 0.5}, "price": 3.0}),
    ):
        app.segmented_control(key="utility.demo").set_value(kind).run()
        if kind == "Required":
            app.number_input(key="utility.least.demo").set_value(0.5).run()
            app.number_input(key="utility.price.demo").set_value(3.0).run()
        assert not app.exception
        ours = palm.select_by_utility(bundle, members=own, **asked)
        best = palm.select_by_utility(bundle, k=len(own), **asked)
        lost = (
            f"{100 * ours.loss:.1f} % of the best" if ours.unit == "share" else f"{ours.loss:.3f}"
        )
        shown = texts(app)
        assert f"the worst-off such user loses {lost}" in shown
        if best.loss < ours.loss - 5e-5:
            assert "chosen for them would lose at most" in shown
            assert ", ".join(bundle.label(p) for p in best.policies) in shown
        else:
            assert "can't do better for such users" in shown
    query = {k: v[0] if isinstance(v, list) else v for k, v in dict(app.query_params).items()}
    assert (query["utility"], query["at-least"], query["missing-costs"]) == ("Required", "0.5", "3")
    again = settle(app_on(bundles, monkeypatch, "coverage", **query))
    assert f"the worst-off such user loses {lost}" in texts(again)


def test_a_utility_that_is_not_defined_for_the_rewards_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_bundle(tmp_path / "demo")
    zero = made.manifest.candidates[0].model_copy(
        update={"rewards": dict.fromkeys(made.traits, 0.0)}
    )
    rewrite_manifest(
        made,
        made.manifest.model_copy(
            update={"candidates": (zero, *made.manifest.candidates[1:]), "certificate": None}
        ),
    )
    odd = settle(app_on(made.folder.parent, monkeypatch, "coverage", utility="A lack counts"))
    assert not odd.exception
    assert "needs rewards above 0" in texts(odd)
