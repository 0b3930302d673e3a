"""What holds on every page: links, settings, empty and broken bundles, words and names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.components.export.report import report
from app.components.export.share import shared_page
from palm_engine.analysis.guarantee import as_json
from palm_engine.bundle.folder import read_bundle
from palm_engine.bundle.schema import BaseInfo
from palm_engine.bundle.writing import rewrite_manifest, write_bundle
from palm_engine.geometry.gap import worst_gap
from tests.support.bundles import make_bundle
from tests.support.pages import (
    ROOT,
    app_on,
    curve_of,
    expert,
    on_the_shipped_demo,
    panel,
    settle,
    texts,
    turn_to,
)

PAGES = ("tradeoff", "coverage", "generations", "plan", "guarantee")


def panel_about(folder: Path) -> list[str]:
    """What the panel says of each candidate of a bundle."""
    from app.components.panel import describe

    bundle = read_bundle(folder)
    return [describe(bundle, c) for c in bundle.manifest.candidates]


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
        turn_to(app, page)
        assert words in texts(settle(app)), page


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
    turn_to(app, "explore")
    assert "2 members: best 2 of 7 candidates" in texts(app)


def test_a_portfolio_without_members_says_what_to_do_and_can_be_given_some(open_app: Any) -> None:
    app = open_app("no-members")
    assert "Nothing is selected" in texts(app)
    turn_to(app, "tradeoff")
    app.segmented_control[0].set_value(3).run()
    turn_to(app, "explore")
    assert len(panel(app)["names"]) == 3


def test_a_portfolio_without_texts_says_so(open_app: Any) -> None:
    assert "no recorded answers" in texts(open_app("no-texts"))


def test_no_portfolio_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_on(tmp_path, monkeypatch)
    assert "make demo" in texts(app)


def test_a_broken_portfolio_is_a_sentence_not_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "portfolio.json").write_text('{"format_version": 1, "name": "bad"}')
    app = app_on(tmp_path, monkeypatch)
    assert not app.exception
    assert "portfolio.json" in texts(app)
    assert "traits" in texts(app)


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


def test_settings_are_kept_when_their_page_is_left(open_app: Any) -> None:
    app = settle(open_app(page="plan"))
    app.slider(key="k.demo").set_value(2).run()
    app.select_slider(key="beta.demo").set_value(0.1).run()
    settle(app)
    turn_to(app, "tradeoff")
    settle(app)
    app.slider(key="tolerance.demo").set_value(0.033).run()
    settle(app)
    turn_to(app, "coverage")
    assert app.slider(key="tolerance.demo").value == 0.033
    app.segmented_control(key="field.demo").set_value("Best value").run()
    turn_to(app, "plan")
    settle(app)
    assert app.slider(key="k.demo").value == 2
    assert app.select_slider(key="beta.demo").value == 0.1
    turn_to(app, "coverage")
    assert app.segmented_control(key="field.demo").value == "Best value"
    turn_to(app, "tradeoff")
    settle(app)
    app.number_input(key="hours.demo").set_value(7.0).run()
    settle(app)
    turn_to(app, "plan")
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
    turn_to(app, "coverage")
    app.segmented_control(key="field.demo").set_value("A trait").run()
    app.selectbox(key="field.trait.demo").set_value("humor").run()
    app.slider(key="tolerance.demo").set_value(0.033).run()
    app.toggle(key="expert").set_value(True).run()
    first = {k: v[0] if isinstance(v, list) else v for k, v in dict(app.query_params).items()}
    assert first["map"] == "A trait"
    again = app_on(bundles, monkeypatch, **first)
    assert again.toggle(key="expert").value
    turn_to(again, "coverage")
    assert again.segmented_control(key="field.demo").value == "A trait"
    assert again.selectbox(key="field.trait.demo").value == "humor"
    assert again.slider(key="tolerance.demo").value == 0.033
    turn_to(again, "plan")
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
    turn_to(odd, "coverage")
    assert not odd.exception
    assert odd.segmented_control(key="field.demo").value == "Gap"
    turn_to(odd, "plan")
    assert not settle(odd).exception
    assert odd.slider(key="k.demo").value == 8


def test_a_broken_table_is_a_sentence_on_every_page_that_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.bundles import make_bundle

    make_bundle(tmp_path / "demo")
    (tmp_path / "demo" / "samples.parquet").write_bytes(b"junk")
    app = app_on(tmp_path, monkeypatch)
    for page in ("explore", "generations", "guarantee"):
        turn_to(app, page)
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
    turn_to(app, "explore")
    assert panel(app)["names"] == ["m1", "m4"]
    assert "greedy, 2, additive gap" in texts(app)
    assert (
        panel(app)["worst"]["additive"] == worst_gap(bundle.points[[1, 4]], bundle.points).additive
    )
    assert app.query_params["members"] in ("m1,m4", ["m1,m4"])
    turn_to(app, "tradeoff")
    settle(app)
    app.segmented_control[0].set_value(3).run()
    settle(app)
    assert "members.demo" not in app.session_state


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
        turn_to(app, page)
        assert not app.exception, page
    turn_to(app, "tradeoff")
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
        turn_to(app, page)
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
    turn_to(app, "tradeoff")
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


def test_what_a_bundle_says_is_no_markdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle(tmp_path / "demo")
    odd = "![x](http://example.invalid/x.png) <b>"
    base = BaseInfo(source=odd)
    rewrite_manifest(bundle, bundle.manifest.model_copy(update={"base": base, "title": odd}))
    app = app_on(tmp_path, monkeypatch)
    for page in ("explore", *PAGES):
        turn_to(app, page)
        assert not app.exception
        for element in (*app.caption, *app.markdown):
            assert "![x](" not in element.value, page
            assert "<b>" not in element.value.replace(r"\<b\>", ""), page


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
