"""Pages under AppTest: every kind of bundle, every empty state, and no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from palm_engine.bundle import read_bundle
from palm_engine.explore import pick_info
from palm_engine.geometry.gap import worst_gap

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


def panel(app: AppTest) -> dict[str, Any]:
    """What the server tells the browser's panel."""
    return dict(json.loads(app.get("bidi_component")[0].proto.json))


def texts(app: AppTest) -> str:
    parts = [e.value for kind in ("markdown", "caption", "text", "info", "error", "title") for e in app.get(kind)]
    return "\n".join([*map(str, parts), *(h.proto.body for h in app.get("html"))])


@pytest.mark.parametrize("name", ["demo", "two", "five", "no-texts", "single"])
@pytest.mark.parametrize("page", [None, "tradeoff"])
def test_every_bundle_opens_on_every_page(open_app: Any, name: str, page: str | None) -> None:
    app = open_app(name, page)
    assert app.title[0].value


def test_answers_follow_the_weights(open_app: Any, bundles: Path) -> None:
    app = open_app()
    bundle = read_bundle(bundles / "demo")
    seen = set()
    for raw in ((50, 50, 50), (100, 0, 0), (0, 100, 0), (0, 0, 100)):
        app.session_state["raw.demo"] = list(raw)
        app.run()
        expected = pick_info(bundle.points, bundle.members, np.array(raw) / sum(raw))
        name = bundle.policies[expected.member]
        cards = [h.proto.body for h in app.get("html") if "picked at your weights" in h.proto.body]
        assert len(cards) == 1
        assert f">{name}</div>" in cards[0]
        assert panel(app)["raw"] == list(raw)
        seen.add(name)
    exact = worst_gap(bundle.points[bundle.members], bundle.points)
    assert panel(app)["worst"]["additive"] == exact.additive
    assert len(seen) > 1


def test_every_gap_shows_its_scope(open_app: Any) -> None:
    app = open_app()
    assert "scope: candidates" in texts(app)
    assert "scope: candidates" in panel(app)["worst"]["text"]


def test_answers_are_escaped_never_markup(open_app: Any) -> None:
    app = open_app()
    shown = "\n".join(h.proto.body for h in app.get("html"))
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert not any("script" in str(m.value) for m in app.markdown)


def test_the_panel_gets_every_member_and_where_it_was_trained(open_app: Any, bundles: Path) -> None:
    shown, bundle = panel(open_app()), read_bundle(bundles / "demo")
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
    bundles: Path, monkeypatch: pytest.MonkeyPatch, query: dict[str, str], raw: list[float], portfolio: str
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PALM_PORTFOLIOS", str(bundles))
    monkeypatch.setenv("PALM_PUBLIC", "1")
    app = AppTest.from_file(MAIN, default_timeout=30)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
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


def test_a_broken_portfolio_is_a_sentence_not_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "portfolio.json").write_text('{"format_version": 1, "name": "bad"}')
    monkeypatch.setenv("PALM_PORTFOLIOS", str(tmp_path))
    monkeypatch.setenv("PALM_PUBLIC", "1")
    app = AppTest.from_file(MAIN, default_timeout=30).run()
    assert not app.exception
    assert "portfolio.json" in texts(app)
    assert "traits" in texts(app)


def test_an_address_that_is_not_loopback_is_refused(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALM_PORTFOLIOS", str(bundles))
    monkeypatch.delenv("PALM_PUBLIC", raising=False)
    import streamlit as st

    monkeypatch.setattr(st, "get_option", lambda name: "0.0.0.0" if name == "server.address" else None)
    app = AppTest.from_file(MAIN, default_timeout=30).run()
    assert "reachable from the network" in texts(app)
    assert not app.title


def test_the_dashboard_starts_without_importing_torch(bundles: Path) -> None:
    code = (
        "import sys\nfrom streamlit.testing.v1 import AppTest\n"
        f"app = AppTest.from_file({str(MAIN)!r}, default_timeout=30).run()\n"
        "assert not app.exception and app.title\n"
        "print(sorted(m for m in ('torch', 'transformers', 'sentence_transformers') if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False,
        env={**__import__("os").environ, "PALM_PORTFOLIOS": str(bundles), "PALM_PUBLIC": "1"},
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr
