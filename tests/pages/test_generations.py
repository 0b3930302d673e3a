"""Generations under AppTest: recorded answers, and the live half on a real (tiny) model.

Load, ask, compare, switch, unload, refuse.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from palm_engine.bundle.folder import read_bundle
from tests.support.fakes import fake_server, live_bundle, served_bundle, tiny_base, write_adapter
from tests.support.pages import app_on, texts, turn_to

pytest.importorskip("torch")

NASTY = "<script>alert(1)</script> **bold**?"


@pytest.fixture(scope="module")
def portfolios(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("live")
    base = tiny_base(root / ".base")
    (root / "all").mkdir()
    live_bundle(root / "all" / "demo", base)
    live_bundle(root / "all" / "same-base", base)
    live_bundle(root / "all" / "changed", base)
    write_adapter(root / "all" / "changed" / "adapters" / "b", 77)
    manifest = root / "all" / "same-base" / "portfolio.json"
    raw = json.loads(manifest.read_text())
    raw["base"]["fingerprint"] = "0" * 64
    manifest.write_text(json.dumps(raw))
    return root / "all"


@pytest.fixture
def app(portfolios: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    st.cache_resource.clear()
    yield live(app_on(portfolios, monkeypatch, "generations"), "demo")
    st.cache_resource.clear()


def live(app: AppTest, name: str) -> AppTest:
    app.segmented_control(key=f"answers_kind.{name}").set_value("Live").run()
    return app


def button(app: AppTest, label: str) -> Any:
    return next(b for b in app.button if b.label == label)


def settled(app: AppTest, busy: str) -> AppTest:
    """Run until no button `busy` is shown any more."""
    deadline = time.monotonic() + 60
    while any(b.label == busy for b in app.button):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        app.run()
    assert not app.exception, [e.value for e in app.exception]
    return app


def loaded(app: AppTest) -> AppTest:
    button(app, "Load the model").click().run()
    return settled(app, "Cancel")


def text_of(app: AppTest) -> str:
    parts = [
        str(e.value)  # type: ignore[union-attr]
        for kind in ("text", "info", "warning", "caption", "error")
        for e in app.get(kind)
    ]
    return "\n".join([*parts, *(h.proto.body for h in app.get("html"))])


def ask(app: AppTest, prompt: str, name: str = "demo") -> AppTest:
    app.text_area(key=f"live.prompt.{name}").set_value(prompt)
    button(app, "Ask").click().run()
    return settled(app, "Stop")


def test_load_ask_compare_and_keep(app: AppTest, portfolios: Path) -> None:
    assert "No model is loaded yet" in text_of(app)
    loaded(app)
    assert "3 adapters" in text_of(app)
    ask(app, NASTY)
    shown = text_of(app)
    assert shown.count("<article") == 4
    assert not any("<script>" in h.proto.body for h in app.get("html"))
    assert not any(NASTY in str(m.value) for m in app.markdown)
    assert "Best at your weights" in shown
    assert "value 0." in shown
    first = shown[shown.index("<article") :]
    ask(app, "Another question")
    assert "“Another question”" in text_of(app)
    app.selectbox(key="live.history.demo.1").set_value(0).run()
    assert text_of(app)[text_of(app).index("<article") :] == first
    for raw, weights in (([100, 0, 0], [1, 0, 0]), ([0, 50, 50], [0, 0.5, 0.5])):
        app.session_state["raw.demo"] = raw
        app.run()
        stamp = (portfolios / "demo" / "portfolio.json").stat().st_mtime_ns
        kept = app.session_state[f"history.demo.{stamp}"]
        for answer in kept[0].answers:
            value = sum(w * x for w, x in zip(weights, answer.scores.values(), strict=True))
            assert f"value {value:.3f}" in text_of(app)


def test_the_same_seed_gives_the_same_answers_and_another_other_ones(app: AppTest) -> None:
    loaded(app)

    def answers() -> str:
        shown = text_of(ask(app, "Say something"))
        return shown[shown.index("<article") :]

    first = answers()
    assert answers() == first
    app.number_input(key="live.seed.demo").set_value(5).run()
    assert answers() != first
    turn_to(app, "explore")
    turn_to(app, "generations")
    live(app, "demo")
    assert app.number_input(key="live.seed.demo").value == 5, "kept while another page was open"


def test_chosen_policies_answer_the_base_among_them(app: AppTest) -> None:
    loaded(app)
    app.segmented_control(key="live.who.demo").set_value("Chosen").run()
    app.multiselect(key="live.chosen.demo").set_value(["base", "short", "b"]).run()
    shown = text_of(ask(app, "Hello?"))
    assert all(f">{name}</div>" in shown for name in ("base", "short", "b"))
    app.segmented_control(key="live.who.demo").set_value("Picked and runner-up").run()
    assert text_of(ask(app, "Hello?")).count("<article") == 2


def test_empty_prompts_and_nobody_are_told(app: AppTest) -> None:
    loaded(app)
    button(app, "Ask").click().run()
    assert "prompt is empty" in text_of(app)
    app.segmented_control(key="live.who.demo").set_value("Chosen").run()
    app.multiselect(key="live.chosen.demo").set_value([]).run()
    app.text_area(key="live.prompt.demo").set_value("Hello?")
    button(app, "Ask").click().run()
    assert "Nobody is chosen" in text_of(app)


def test_a_portfolio_on_the_same_base_needs_no_new_load_and_a_wrong_base_is_told(
    app: AppTest,
) -> None:
    loaded(app)
    app.selectbox(key="bundle").set_value("same-base").run()
    live(app, "same-base")
    settled(app, "Cancel")
    assert "Load the model" not in [b.label for b in app.button]
    assert "fingerprint" in text_of(app)
    assert text_of(ask(app, "Hello?", "same-base")).count("<article") == 4


def test_a_changed_adapter_is_named_in_a_sentence_and_the_others_answer(app: AppTest) -> None:
    app.selectbox(key="bundle").set_value("changed").run()
    live(app, "changed")
    button(app, "Load the model").click().run()
    settled(app, "Cancel")
    assert "b can't answer here" in text_of(app)
    assert "was evaluated" in text_of(app)
    assert text_of(ask(app, "Hello?", "changed")).count("<article") == 3


def test_unload_frees_and_can_be_loaded_again(app: AppTest) -> None:
    loaded(app)
    button(app, "Unload").click().run()
    assert "No model is loaded yet" in text_of(app)
    loaded(app)
    assert text_of(ask(app, "Hello?")).count("<article") == 4


def test_members_can_be_changed_and_unloaded_in_any_order(app: AppTest) -> None:
    """What a load gave for one set of members isn't taken for true after another one, and an
    unload.
    """
    loaded(app)
    app.session_state["members.demo"] = (("a", "c"), "two of them")
    settled(app.run(), "Cancel")
    button(app, "Unload").click().run()
    del app.session_state["members.demo"]
    app.run()
    loaded(app)
    assert "3 adapters" in text_of(app)
    assert text_of(ask(app, "Hello?")).count("<article") == 4


def test_a_refused_load_can_be_mended_with_other_settings(app: AppTest) -> None:
    app.selectbox(key="load.device").set_value("cuda").run()
    button(app, "Load the model").click().run()
    settled(app, "Cancel")
    assert "this machine has cpu" in text_of(app)
    app.selectbox(key="load.device").set_value("auto").run()
    loaded(app)
    assert text_of(ask(app, "Hello?")).count("<article") == 4


def test_a_question_of_one_portfolio_is_kept_while_another_is_asked(app: AppTest) -> None:
    loaded(app)
    app.text_area(key="live.prompt.demo").set_value("First?")
    button(app, "Ask").click().run()
    app.selectbox(key="bundle").set_value("same-base").run()
    live(app, "same-base")
    settled(app, "Cancel")
    ask(app, "Second?", "same-base")
    assert "“Second?”" in text_of(app)
    app.selectbox(key="bundle").set_value("demo").run()
    live(app, "demo")
    settled(app, "Stop")
    assert "“First?”" in text_of(app)


def test_without_the_extra_the_page_says_what_to_install(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.components.live import model

    monkeypatch.setattr(model, "missing_packages", lambda: ["torch"])
    app.run()
    assert "torch not installed" in text_of(app)
    assert "Load the model" not in [b.label for b in app.button]


def test_portfolios_without_a_base_say_so(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_on(bundles, monkeypatch, "generations")
    assert "names no base model" in text_of(live(app, "demo"))


def test_models_on_servers_answer_where_the_bundle_has_no_base(
    portfolios: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_server(["big", "small"]) as (url, asked):
        served = {"a": f"big at {url}", "b": f"small at {url}"}
        served_bundle(tmp_path / "served", read_bundle(portfolios / "demo"), served)
        st.cache_resource.clear()
        page = app_on(tmp_path, monkeypatch, "generations")
        live(page, "served")
        assert "names no base model" in text_of(page)
        assert f"PALM_SERVERS={url}" in text_of(page)
        assert asked == []

        monkeypatch.setenv("PALM_SERVERS", url)
        page.run()
        ask(page, "Hello?", "served")
        assert {body["model"] for body in asked} == {"big", "small"}
        assert text_of(page).count("<article") == 2
        assert "Load the model" not in [b.label for b in page.button]
    st.cache_resource.clear()


def test_generations_order_members_by_value_and_search(open_app: Any, bundles: Path) -> None:
    app = open_app()
    app.session_state["raw.demo"] = [0.0, 100.0, 0.0]
    turn_to(app, "generations")
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


def test_keys_step_from_where_the_key_before_went(open_app: Any) -> None:
    # A second key can come before the page of the first one is drawn: its callback is the old one.
    app = open_app("demo", "generations")
    app.session_state["prompt.demo"] = "p1"
    app.run()
    app.session_state["prompt.demo"] = "p3"
    app.button(key="previous.demo").click().run()
    assert app.session_state["prompt.demo"] == "p2"
