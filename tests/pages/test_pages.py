"""Pages under AppTest: every kind of bundle, every empty state, and no torch."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.components.export.report import report
from app.components.export.share import shared_page
from app.state import _mark
from palm_engine.analysis import curves
from palm_engine.analysis.curves import CurveInfo, best_of_every_size
from palm_engine.analysis.guarantee import as_json, audit_verdict
from palm_engine.analysis.worst_served import worst_user
from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.bundle.schema import Attack, BaseInfo, RewardAudit
from palm_engine.bundle.writing import rewrite_manifest, write_bundle
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.pick import pick_info
from palm_engine.selection.result import Target
from tests.support.bundles import make_bundle

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "main.py"


@pytest.fixture
def open_app(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PALM_PORTFOLIOS", str(bundles))
    monkeypatch.setenv("PALM_PUBLIC", "1")  # AppTest has no server address to check

    def start(name: str = "demo", page: str | None = None) -> AppTest:
        app = AppTest.from_file(MAIN, default_timeout=30).run()
        if name != "demo":
            app.selectbox(key="bundle").set_value(name).run()
        if page:
            app.switch_page(f"../pages/{page}.py").run()
        assert not app.exception, [e.value for e in app.exception]
        return app

    return start


def app_on(root: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    """The dashboard on a folder of bundles, opened by an address with this query."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PALM_PORTFOLIOS", str(root))
    monkeypatch.setenv("PALM_PUBLIC", "1")  # AppTest has no server address to check
    app = AppTest.from_file(MAIN, default_timeout=30)
    for key, value in query.items():
        app.query_params[key] = value
    return app.run()


def panel(app: AppTest) -> dict[str, Any]:
    """What the server tells the browser's panel."""
    shown = [json.loads(c.proto.json) for c in app.get("bidi_component")]
    return next(dict(s) for s in shown if "members" in s)


def texts(app: AppTest) -> str:
    parts = [
        e.value  # type: ignore[union-attr]
        for kind in ("markdown", "caption", "text", "info", "error", "title")
        for e in app.get(kind)
    ]
    bodies = (re.sub(r"</?abbr[^>]*>", "", h.proto.body) for h in app.get("html"))
    # What Markdown would read is escaped.
    return "\n".join([*(re.sub(r"\\([^\w\s])", r"\1", str(p)) for p in parts), *bodies])


def expert(app: AppTest) -> AppTest:
    """The same page with everything said."""
    app.toggle(key="expert").set_value(True).run()
    return settle(app)


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


def test_every_gap_shows_its_scope(open_app: Any) -> None:
    app = open_app()
    assert "scope" not in texts(app).lower().replace("scope</b>: what a gap is compared with", "")
    assert "scope: candidates" in panel(app)["worst"]["text"], "one click away"
    assert "scope: candidates" in texts(expert(app))
    assert app.query_params["expert"] in ("1", ["1"])
    for page, words in (
        ("tradeoff", "Scope: candidates"),
        ("coverage", "scope: sampled; standard error"),
        ("plan", "Scope: pool"),
    ):
        app.switch_page(f"../pages/{page}.py").run()
        assert words in texts(settle(app)), page


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


@pytest.mark.parametrize(
    ("query", "raw", "portfolio"),
    [
        ({"portfolio": "five", "w": "1-2-3-4-5"}, [1, 2, 3, 4, 5], "five"),
        ({"w": "7-8.5-9", "k": "2"}, [7, 8.5, 9], "demo"),
        ({"w": "7-8-x"}, [50, 50, 50], "demo"),
        ({"w": "7-8"}, [50, 50, 50], "demo"),
        ({"w": "7-8-1e9"}, [50, 50, 50], "demo"),
        ({"portfolio": "../secret", "w": "1-2-3", "prompt": "nowhere"}, [50, 50, 50], "demo"),
    ],
)
def test_a_link_opens_its_view_and_a_wrong_one_the_usual(
    bundles: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: dict[str, str],
    raw: list[float],
    portfolio: str,
) -> None:
    app = app_on(bundles, monkeypatch, **query)
    assert not app.exception
    assert panel(app)["raw"] == raw
    assert app.session_state["bundle"] == portfolio
    if "k" in query:
        assert "2 members" in texts(app)


def test_a_chosen_size_is_used_on_every_page(open_app: Any) -> None:
    app = open_app(page="tradeoff")
    app.segmented_control[0].set_value(2).run()
    assert "2 members" in str(app.segmented_control[0].options)
    app.switch_page("../pages/explore.py").run()
    assert "2 members: best 2 of 7 candidates" in texts(app)


def test_weights_are_kept_when_the_page_is_left(open_app: Any) -> None:
    app = open_app()
    app.session_state["raw.demo"] = [50.0, 90.0, 50.0]
    app.run()
    app.switch_page("../pages/tradeoff.py").run()
    app.switch_page("../pages/explore.py").run()
    assert panel(app)["raw"] == [50, 90, 50]


def test_a_portfolio_without_members_says_what_to_do_and_can_be_given_some(open_app: Any) -> None:
    app = open_app("no-members")
    assert "Nothing is selected" in texts(app)
    app.switch_page("../pages/tradeoff.py").run()
    app.segmented_control[0].set_value(3).run()
    app.switch_page("../pages/explore.py").run()
    assert len(panel(app)["names"]) == 3


def test_a_portfolio_without_texts_says_so(open_app: Any) -> None:
    assert "no recorded answers" in texts(open_app("no-texts"))


def test_no_portfolio_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALM_PORTFOLIOS", str(tmp_path))
    monkeypatch.setenv("PALM_PUBLIC", "1")
    app = AppTest.from_file(MAIN, default_timeout=30).run()
    assert "make demo" in texts(app)


def test_a_broken_portfolio_is_a_sentence_not_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "portfolio.json").write_text('{"format_version": 1, "name": "bad"}')
    monkeypatch.setenv("PALM_PORTFOLIOS", str(tmp_path))
    monkeypatch.setenv("PALM_PUBLIC", "1")
    app = AppTest.from_file(MAIN, default_timeout=30).run()
    assert not app.exception
    assert "portfolio.json" in texts(app)
    assert "traits" in texts(app)


PAGES = ("tradeoff", "coverage", "generations", "plan", "guarantee")


def curve_of(bundle: Bundle) -> CurveInfo:
    return best_of_every_size(bundle.points, bundle.policies)


def settle(app: AppTest) -> AppTest:
    """Until work beside the page is done; a browser would ask again by itself."""
    for _ in range(120):
        if not [b for b in app.button if b.label == "Cancel"]:
            return app
        time.sleep(0.25)
        app.run()
    raise AssertionError("the work never ended")


@pytest.mark.parametrize("name", ["demo", "two", "five", "no-texts", "no-members", "single"])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_every_portfolio_or_says_what_to_do(
    open_app: Any, name: str, page: str
) -> None:
    app = settle(open_app(name, page))
    assert not app.exception, [e.value for e in app.exception]
    assert not app.error
    assert app.title[0].value
    if name in ("no-members", "single") and page in ("coverage", "generations", "guarantee"):
        assert "Nothing is selected" in texts(app)
    if name == "no-texts" and page in ("generations", "guarantee"):
        assert "no recorded answers" in texts(app)
    if name == "no-texts" and page == "plan":
        assert "has no scored sample answers" in texts(app)


def test_no_method_is_below_the_exact_one_where_it_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALM_PORTFOLIOS", str(ROOT / "portfolios"))
    monkeypatch.setattr("palm_engine.analysis.comparison.RANDOM_DRAWS", 3)
    app = AppTest.from_file(ROOT / "app" / "main.py", default_timeout=120).run()
    app = settle(app.switch_page("../pages/tradeoff.py").run())
    promised = app.dataframe[0].value["exact best"].to_numpy()
    app.toggle(key="beside.demo").set_value(True).run()
    settle(app)
    assert not app.exception
    shown = app.dataframe[0].value
    assert "so none is below the exact best" in texts(app)
    others = [
        c
        for c in shown.columns
        if c not in ("members", "exact best", "exact best portfolio")
        and not c.endswith("average loss")
    ]
    assert len(others) == 4
    assert {f"{method}, average loss" for method in others} <= set(shown.columns)
    for method in others:
        assert (shown[method] >= shown["exact best"] - 2e-6).all()
    assert (shown["exact best"].to_numpy() != promised[: len(shown)]).any()


def test_the_trade_off_compares_methods_and_plans(open_app: Any) -> None:
    app = settle(open_app(page="tradeoff"))
    app.toggle(key="beside.demo").set_value(True).run()
    settle(app)
    assert {"greedy", "uniform weights", "exact best"} <= set(app.dataframe[0].value.columns)
    assert "a grid of weights promises" in texts(app)
    app.segmented_control(key="gap.demo").set_value("In percent").run()
    settle(app)
    shares = app.dataframe[0].value["exact best"]
    assert shares.iloc[0] <= 1
    settle(app.toggle(key="beside.demo").set_value(False).run())
    app.slider(key="tolerance-share.demo").set_value(99.5).run()
    assert "One model is enough for a loss of at most 99.5 % of what the best would" in texts(app)
    share = float(np.ceil(200 * shares.iloc[2]) / 2)
    app.slider(key="tolerance-share.demo").set_value(share).run()
    settle(app)
    enough = int((shares > share / 100).sum()) + 1
    assert f"{enough} members are enough for a loss of at most {share:.1f} %" in texts(app)
    app.slider(key="tolerance-share.demo").set_value(0.5).run()
    assert ("No size is enough" in texts(app)) == bool(shares.min() > 0.005)
    app.segmented_control(key="view.demo").set_value("Plan").run()
    settle(app)
    assert "before any training; trained ones fall short" in texts(app)
    assert "planned worst gap" in app.dataframe[0].value.columns


def test_one_more_member_is_priced(open_app: Any) -> None:
    app = settle(open_app(page="tradeoff"))
    app.number_input(key="hours.demo").set_value(7.0).run()
    # All six adapters were trained to choose from; one more member needs no training.
    assert "6 adapters were trained to choose from: 42.0 GPU hours, 84.00 EUR" in texts(app)
    assert "+50.0 MB of GPU memory and +0.00 EUR per month" in texts(app)
    app.number_input(key="gpu.demo").set_value(1.0).run()
    last = app.dataframe[-1].value
    assert (last["serving per month"] == 730 * 2 * last["GPUs"]).all()
    assert last["GPUs"].max() == 2


def test_the_verdict_follows_the_tolerance_and_is_used(open_app: Any, bundles: Path) -> None:
    app = settle(open_app(page="tradeoff"))
    bundle = read_bundle(bundles / "demo")
    info = best_of_every_size(bundle.points, bundle.policies)
    for tolerance in (0.02, 0.1):
        app.slider(key="tolerance.demo").set_value(tolerance).run()
        settle(app)
        kept = [k for k, gap in zip(info.sizes, info.choose, strict=True) if gap <= tolerance]
        assert f"enough for a loss of at most {tolerance:.3f}" in texts(app)
        words = "One model is" if kept[0] == 1 else f"{kept[0]} members are"
        assert words in texts(app)
    app.button(key="take.demo").click().run()
    settle(app)
    assert app.session_state["size.demo"] == kept[0]
    assert not app.button(key="undo.demo").disabled
    app.button(key="undo.demo").click().run()
    settle(app)
    assert app.session_state["size.demo"] is None
    assert app.button(key="undo.demo").disabled


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
    app.switch_page("../pages/guarantee.py").run()
    app.switch_page("../pages/coverage.py").run()
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


def test_settings_are_kept_when_their_page_is_left(open_app: Any) -> None:
    app = settle(open_app(page="plan"))
    app.slider(key="k.demo").set_value(2).run()
    app.select_slider(key="beta.demo").set_value(0.1).run()
    settle(app)
    app.switch_page("../pages/tradeoff.py").run()
    settle(app)
    app.slider(key="tolerance.demo").set_value(0.033).run()
    settle(app)
    app.switch_page("../pages/coverage.py").run()
    assert app.slider(key="tolerance.demo").value == 0.033
    app.segmented_control(key="field.demo").set_value("Best value").run()
    app.switch_page("../pages/plan.py").run()
    settle(app)
    assert app.slider(key="k.demo").value == 2
    assert app.select_slider(key="beta.demo").value == 0.1
    app.switch_page("../pages/coverage.py").run()
    assert app.segmented_control(key="field.demo").value == "Best value"
    app.switch_page("../pages/tradeoff.py").run()
    settle(app)
    app.number_input(key="hours.demo").set_value(7.0).run()
    settle(app)
    app.switch_page("../pages/plan.py").run()
    settle(app)
    assert app.number_input(key="hours.demo").value == 7.0


def test_a_link_opens_the_settings_that_it_was_copied_with(
    open_app: Any, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = settle(open_app(page="plan"))
    assert not {"plan", "traits", "tolerate"} & set(app.query_params), "only what isn't usual"
    app.slider(key="k.demo").set_value(2).run()
    app.button_group(key="on.demo").set_value(["safety", "brevity"]).run()
    settle(app)
    app.switch_page("../pages/coverage.py").run()
    app.segmented_control(key="field.demo").set_value("A trait").run()
    app.selectbox(key="field.trait.demo").set_value("humor").run()
    app.slider(key="tolerance.demo").set_value(0.033).run()
    app.toggle(key="expert").set_value(True).run()
    first = {k: v[0] if isinstance(v, list) else v for k, v in dict(app.query_params).items()}
    assert first["map"] == "A trait"
    again = app_on(bundles, monkeypatch, **first)
    assert again.toggle(key="expert").value
    again.switch_page("../pages/coverage.py").run()
    assert again.segmented_control(key="field.demo").value == "A trait"
    assert again.selectbox(key="field.trait.demo").value == "humor"
    assert again.slider(key="tolerance.demo").value == 0.033
    again.switch_page("../pages/plan.py").run()
    settle(again)
    assert again.slider(key="k.demo").value == 2
    assert again.button_group(key="on.demo").value == ["safety", "brevity"]
    # What makes no sense is what it is at first.
    odd = app_on(
        bundles,
        monkeypatch,
        map="nonsense",
        tolerate="x",
        plan="99",
        traits="no,such",
        **{"plan-map": "nonsense", "look-at": "nobody at all", "worst": "77", "find": "maybe"},
    )
    odd.switch_page("../pages/coverage.py").run()
    assert not odd.exception
    assert odd.segmented_control(key="field.demo").value == "Gap"
    odd.switch_page("../pages/plan.py").run()
    assert not settle(odd).exception
    assert odd.slider(key="k.demo").value == 8


def test_weights_that_were_found_are_in_the_address(open_app: Any, bundles: Path) -> None:
    from app import state

    app = open_app()
    bundle = read_bundle(bundles / "demo")
    before = app.query_params["w"]
    app.session_state["raw.demo"] = [10.0, 20.0, 70.0]
    app.session_state[f"moved.{bundle.folder.name}"] = 1
    app.run()
    assert app.query_params["w"] != before
    assert "10-20-70" in app.query_params["w"]
    assert state.MAX_SLIDER == 100


def test_planned_members_move_and_figures_follow(
    open_app: Any, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = settle(open_app(page="plan"))
    shown = panel(app)
    assert len(shown["grid"]) == len(shown["gridPoints"]) > 100
    bundle = read_bundle(bundles / "demo")
    beta = min(bundle.manifest.beta)
    assert app.slider(key="k.demo").value == 5
    mark = _mark(f"{bundle.traits}.{beta}.{Target(k=5)}.False")
    planned = [m.value for m in app.metric]
    grid = np.array(shown["grid"])
    corners = [int(((grid - c) ** 2).sum(axis=1).argmin()) for c in np.eye(3)]
    rows = (corners * 3)[: len(shown["members"])]
    text = f"{mark}~{'.'.join(map(str, rows))}"
    app.session_state["planned.demo"] = text
    app.run()
    moved = panel(app)
    assert moved["trained"] == [shown["grid"][i] for i in rows]
    assert app.metric[1].delta.endswith("to the plan")
    assert float(app.metric[1].value) > float(planned[1])
    assert moved["colours"] == shown["colours"], "a moved member stays the same one"
    costs = next(d.value for d in app.dataframe if "GPU memory (GB)" in d.value)
    own = costs[costs["members"] == len(rows)]
    assert own["worst gap"].iloc[0] == pytest.approx(float(app.metric[1].value), abs=1e-4)
    table = next(d.value for d in app.dataframe if "member" in d.value)
    assert table["weight of safety"].tolist() == pytest.approx(grid[rows][:, 0], abs=1e-6)
    # A link opens the moved plan, another page in between changes nothing, and one can go back.
    assert app.query_params["moved"] in (text, [text])

    def linked(text: str) -> AppTest:
        other = app_on(bundles, monkeypatch, moved=text)
        return settle(other.switch_page("../pages/plan.py").run())

    assert panel(linked(text))["trained"] == moved["trained"]
    app.switch_page("../pages/coverage.py").run()
    app.switch_page("../pages/plan.py").run()
    assert panel(settle(app))["trained"] == moved["trained"]
    for odd in ("x", f"{mark}~", f"{mark}~1.x", f"{mark}~99999999", f"{mark}~1"):
        assert panel(linked(odd))["trained"] == shown["trained"]
    app.button(key="unmove.demo").click().run()
    settle(app)
    assert [m.value for m in app.metric] == planned
    assert "moved" not in app.query_params


def test_generations_order_members_by_value_and_search(open_app: Any, bundles: Path) -> None:
    app = open_app()
    app.session_state["raw.demo"] = [0.0, 100.0, 0.0]
    app.switch_page("../pages/generations.py").run()
    bundle = read_bundle(bundles / "demo")
    humor = [bundle.manifest.candidates[i].rewards["humor"] for i in bundle.members]
    order = [bundle.policies[bundle.members[i]] for i in np.argsort(humor)[::-1]]
    cards = next(h.proto.body for h in app.get("html") if "<article" in h.proto.body).split(
        "<article"
    )[1:]
    assert [next(n for n in (*order, "base") if f">{n}</div>" in c) for c in cards] == [
        *order,
        "base",
    ]
    matrix = next(d.value for d in app.dataframe if "prompt" in d.value)
    assert list(matrix.columns) == ["prompt", *[bundle.policies[i] for i in bundle.members], "base"]
    assert len(matrix) == 6
    assert matrix[order[0]].iloc[0] == pytest.approx(max(humor), abs=1e-6)
    first = [h.proto.body for h in app.get("html") if 'data-part="prompt"' in h.proto.body]
    app.button(key="next.demo").click().run()
    second = [h.proto.body for h in app.get("html") if 'data-part="prompt"' in h.proto.body]
    assert first != second
    app.multiselect(key="columns.1-2-3.demo").set_value(["m5", "base"]).run()
    assert "m5" in next(d.value for d in app.dataframe if "prompt" in d.value).columns
    app.text_input(key="search.demo").set_value("question P4").run()
    assert list(next(d.value for d in app.dataframe if "prompt" in d.value)["prompt"]) == [
        "Question p4?"
    ]
    app.text_input(key="search.demo").set_value("zebra").run()
    assert "No prompt matches" in texts(app)


def test_a_plan_follows_its_settings(open_app: Any) -> None:
    app = settle(open_app(page="plan"))
    first = [m.value for m in app.metric]
    assert first[0] == "5"
    app.slider(key="k.demo").set_value(2).run()
    settle(app)
    assert app.metric[0].value == "2"
    assert float(app.metric[1].value) > float(first[1])
    app.button_group(key="on.demo").set_value(["safety", "humor"]).run()
    settle(app)
    assert panel(app)["traits"] == ["safety", "humor"]
    app.button_group(key="on.demo").set_value(["safety"]).run()
    assert "at least two traits" in texts(app)


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
    app.switch_page("../pages/tradeoff.py").run()
    app.segmented_control[0].set_value(1).run()
    settle(app)
    app.switch_page("../pages/guarantee.py").run()
    assert "the one member" in texts(app)
    assert "Whatever a user prefers, this one model loses" in texts(app)


def test_rewards_that_failed_their_audit_are_the_first_words_of_the_guarantee(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.bundles import NASTY, make_bundle

    bundle = make_bundle(tmp_path / "demo")
    corner = {t: float(t == bundle.traits[0]) for t in bundle.traits}
    attack = Attack(
        kind="constant", tried=7, lead=0.31, at_weights=corner, share=0.6, example=NASTY
    )
    audit = RewardAudit(split="choose", prompts=5, seed=0, attacks=(attack,), shuffled_share=0.8)
    rewrite_manifest(bundle, bundle.manifest.model_copy(update={"reward_audit": audit}))
    app = app_on(tmp_path, monkeypatch)
    app.switch_page("../pages/guarantee.py").run()
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


def test_a_broken_table_is_a_sentence_on_every_page_that_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.bundles import make_bundle

    make_bundle(tmp_path / "demo")
    (tmp_path / "demo" / "samples.parquet").write_bytes(b"junk")
    app = app_on(tmp_path, monkeypatch)
    for page in ("explore", "generations", "guarantee"):
        app.switch_page(f"../pages/{page}.py").run()
        assert not app.exception, [e.value for e in app.exception]
        assert "samples.parquet" in texts(app)
        assert "rebuild it" in texts(app)


def test_chosen_members_are_used_on_every_page(open_app: Any, bundles: Path) -> None:
    """What a click on a line's point leads to (the click itself: tests/browser)."""
    app = settle(open_app(page="tradeoff"))
    bundle = read_bundle(bundles / "demo")
    app.session_state["members.demo"] = (("m1", "m4"), "greedy, 2, additive gap")
    app.run()
    settle(app)
    assert "m1, m4" in texts(app)
    app.switch_page("../pages/explore.py").run()
    assert panel(app)["names"] == ["m1", "m4"]
    assert "greedy, 2, additive gap" in texts(app)
    assert (
        panel(app)["worst"]["additive"] == worst_gap(bundle.points[[1, 4]], bundle.points).additive
    )
    assert app.query_params["members"] in ("m1,m4", ["m1,m4"])
    app.switch_page("../pages/tradeoff.py").run()
    settle(app)
    app.segmented_control[0].set_value(3).run()
    settle(app)
    assert "members.demo" not in app.session_state


def test_a_plan_says_pool_and_never_sends_weights(open_app: Any) -> None:
    app = settle(open_app(page="plan"))
    shown = panel(app)
    assert (shown["scope"], shown["follow"]) == ("pool", False)
    assert "serving per month" in app.dataframe[0].value.columns
    app.slider(key="k.demo").set_value(1).run()
    expert(app)
    app.toggle(key="cost.demo").set_value(True).run()
    settle(app)
    assert "can be looked at, not built" in texts(app)
    assert "Configuration (TOML)" not in [b.label for b in app.get("download_button")]  # type: ignore[union-attr]


def test_people_read_display_names_and_exports_keep_ids(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = read_bundle(bundles / "demo")
    nasty = "Joker <b>bold</b>"
    candidates = tuple(
        c.model_copy(update={"display_name": nasty if c.policy == "m1" else f"Name of {c.policy}"})
        for c in made.manifest.candidates
    )
    manifest = made.manifest.model_copy(update={"candidates": candidates})
    tables = {"prompts": made.prompts, "samples": made.samples}
    bundle = write_bundle(tmp_path / "demo", manifest, tables)
    assert bundle.labels[1] == nasty
    app = app_on(tmp_path, monkeypatch)
    shown = panel(app)
    assert shown["names"] == [nasty, "Name of m2", "Name of m3"]
    assert shown["policies"] == ["m1", "m2", "m3"]
    app.session_state["raw.demo"] = [0, 0, 100]
    app.run()
    cards = next(h.proto.body for h in app.get("html") if "<article" in h.proto.body)
    assert "Name of base" in cards
    assert "<b>bold" not in cards
    for page in ("tradeoff", "coverage", "generations", "guarantee"):
        app.switch_page(f"../pages/{page}.py").run()
        assert not app.exception, page
    app.switch_page("../pages/tradeoff.py").run()
    assert f"{nasty}, Name of m2, Name of m3" in texts(app)
    exported = as_json(bundle, tuple(bundle.members), None)
    assert exported["members"] == ["m1", "m2", "m3"]
    assert "Joker &lt;b&gt;bold&lt;/b&gt;" in report(
        bundle, tuple(bundle.members), None, curve_of(bundle)
    )
    page = shared_page(bundle, shown | {"names": shown["names"]}, ["p0"])
    assert "<b>bold</b>" not in page
    assert "\\u003cb\\u003ebold" in page


def test_bounds_on_the_weights_of_a_table_hold_on_every_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `palm select --where ... --out` said is what the dashboard says."""
    from typer.testing import CliRunner

    from palm_engine.cli.main import app as command

    rng = np.random.default_rng(2)
    rows = [
        f"run-{i:02d},{a:.3f},{b:.3f},{c:.4f}" for i, (a, b, c) in enumerate(rng.random((20, 3)))
    ]
    table = tmp_path / "rewards.csv"
    table.write_text("\n".join(["policy,helpful,harmless,cost", *rows]) + "\n")
    out = tmp_path / "portfolios" / "mine"
    arguments = ["select", str(table), "--k", "1", "--where", "harmless>=.3", "--json"]
    arguments += ["--floor", "harmless>=.1"]
    done = CliRunner().invoke(command, [*arguments, "--out", str(out)])
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)["worst_gap"]["additive"]
    bundle = read_bundle(out)
    assert bundle.region is not None
    exact = worst_gap(bundle.points[bundle.members], bundle.points, bundle.region)
    assert exact.additive == pytest.approx(said)
    assert exact.additive < worst_gap(bundle.points[bundle.members], bundle.points).additive
    app = app_on(out.parent, monkeypatch)
    assert panel(app)["worst"]["additive"] == exact.additive
    assert panel(app)["unit"] == "reward minus cost"
    assert panel(app)["where"] == [[0.0, 1.0], [0.3, 1.0]]
    assert "Only weights with harmless at least 0.3 count" in texts(app)
    assert "Members have harmless at least 0.1" in texts(app)
    for page in ("tradeoff", "coverage", "guarantee"):
        app.switch_page(f"../pages/{page}.py").run()
        settle(app)
        assert not app.exception, [e.value for e in app.exception]
        assert "harmless at least 0.3" in texts(app)
        assert "harmless at least 0.1" in texts(app), page
        assert "KL cost" not in texts(app)
    assert f"{exact.additive:.4f}" in texts(app)
    lost = next(d.value for d in app.dataframe if "best candidate" in d.value)
    assert lost["gap"].iloc[0] == pytest.approx(exact.additive)
    assert (lost["harmless"] >= 0.3 - 1e-9).all()
    assert not any("base model, not trained" in str(a) for a in panel_about(out))


def panel_about(folder: Path) -> list[str]:
    """What the panel says of each candidate of a bundle."""
    from app.components.panel import describe

    bundle = read_bundle(folder)
    return [describe(bundle, c) for c in bundle.manifest.candidates]


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


@pytest.mark.parametrize(
    "query", [{"k": "99"}, {"k": "x"}, {"k": "9" * 5_000}, {"members": "m1,nobody"}]
)
def test_a_link_that_names_what_is_not_there_says_so(
    bundles: Path, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    app = app_on(bundles, monkeypatch, **query)
    assert not app.exception
    assert "the link names" in app.toast[0].value.replace("The link", "the link")
    assert "3 members: the bundle's own members" in texts(app)
    assert not set(query) & set(app.query_params)
    app.switch_page("../pages/tradeoff.py").run()
    settle(app)
    assert app.button(key="undo.demo").disabled


def test_the_tour_leads_to_pages_that_are_there_and_words_are_explained(open_app: Any) -> None:
    from app.components.guide import GLOSSARY, TOUR

    app = open_app()
    for page, _, sentence in TOUR:
        assert (ROOT / "pages" / f"{page}.py").is_file()
        assert sentence in texts(app)
    assert "<b>worst gap</b>" in texts(app)
    assert "scope" in GLOSSARY


def test_names_that_repeat_have_columns_of_their_own(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = read_bundle(bundles / "demo")
    named = {"m1": "Helper", "m2": "Helper", "m3": "prompt"}
    candidates = tuple(
        c.model_copy(update={"display_name": named.get(c.policy, "")})
        for c in made.manifest.candidates
    )
    tables = {"prompts": made.prompts, "samples": made.samples}
    manifest = made.manifest.model_copy(update={"candidates": candidates})
    write_bundle(tmp_path / "demo", manifest, tables)
    app = app_on(tmp_path, monkeypatch)
    app.switch_page("../pages/generations.py").run()
    assert not app.exception, [e.value for e in app.exception]
    table = next(d.value for d in app.dataframe if "prompt" in d.value)
    assert list(table.columns) == ["prompt", "Helper (m1)", "Helper (m2)", "prompt (m3)", "base"]


def test_a_report_of_bounds_that_are_all_zero_is_printed() -> None:
    shipped = read_bundle(ROOT / "portfolios" / "demo")
    found = curve_of(shipped)
    flat = replace(found, choose=(0.0,) * len(found.sizes), upper=(0.0,) * len(found.sizes))
    page = report(shipped, tuple(shipped.members), None, flat)
    assert "Worst gap by portfolio size" in page


def test_keys_step_from_where_the_key_before_went(open_app: Any) -> None:
    # A second key can come before the page of the first one is drawn: its callback is the old one.
    app = open_app("demo", "generations")
    app.session_state["prompt.demo"] = "p1"
    app.run()
    app.session_state["prompt.demo"] = "p3"
    app.button(key="previous.demo").click().run()
    assert app.session_state["prompt.demo"] == "p2"


def test_what_a_bundle_says_is_no_markdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle(tmp_path / "demo")
    odd = "![x](http://example.invalid/x.png) <b>"
    base = BaseInfo(source=odd)
    rewrite_manifest(bundle, bundle.manifest.model_copy(update={"base": base, "title": odd}))
    app = app_on(tmp_path, monkeypatch)
    for page in ("explore", *PAGES):
        app.switch_page(f"../pages/{page}.py").run()
        assert not app.exception
        for element in (*app.caption, *app.markdown):
            assert "![x](" not in element.value, page
            assert "<b>" not in element.value.replace(r"\<b\>", ""), page


def on_the_shipped_demo(monkeypatch: pytest.MonkeyPatch, page: str) -> AppTest:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PALM_PORTFOLIOS", str(ROOT / "portfolios"))
    monkeypatch.setenv("PALM_PUBLIC", "1")  # AppTest has no server address to check
    app = AppTest.from_file(MAIN, default_timeout=120).run()
    app = settle(app.switch_page(f"../pages/{page}.py").run())
    assert not app.exception, [e.value for e in app.exception]
    return app


def test_what_was_and_what_will_be_trained_is_said_of_the_demo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shipped = read_bundle(ROOT / "portfolios" / "demo")
    trained = sum(c.kind == "adapter" for c in shipped.manifest.candidates)
    said = texts(on_the_shipped_demo(monkeypatch, "tradeoff"))
    # configs/demo.toml: two rounds, of four adapters in the first.
    rounds = f", after 4 in earlier rounds, {trained + 4} trainings: {trained + 4:.1f} GPU hours"
    assert f"{trained} adapters were trained to choose from{rounds}" in said
    own = len(shipped.members)
    assert f"{own} are in use: the same worst gap, average loss" in said
    certificate = shipped.manifest.certificate
    assert certificate is not None
    assert certificate.additive is not None
    assert f"bounded by themselves: at most {certificate.additive.upper:.4f}" in said
    planned = texts(on_the_shipped_demo(monkeypatch, "plan"))
    assert f"the configuration below trains {trained} adapters" in planned
    assert rounds in planned


@pytest.mark.parametrize("page", ["tradeoff", "coverage", "plan", "generations", "find"])
def test_plain_mode_names_no_scope_and_no_symbols(
    monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    app = on_the_shipped_demo(monkeypatch, page)
    said = texts(app).lower()
    for word in ("scope: ", "(beta", "beta 0", "standard error"):
        assert word not in said, word
    for table in app.dataframe:
        assert not [c for c in map(str, table.value.columns) if "KL" in c or "beta" in c]


def test_a_plan_is_offered_where_there_is_a_pool(open_app: Any) -> None:
    for name, offered in (("demo", ["Candidates", "Plan"]), ("no-texts", ["Candidates"])):
        app = settle(open_app(name, "tradeoff"))
        view = app.segmented_control(key=f"view.{name}")
        assert list(view.options) == offered
