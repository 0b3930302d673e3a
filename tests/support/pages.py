"""The dashboard under AppTest: open it on a folder of bundles, and read what it shows."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from palm_engine.analysis.curves import CurveInfo, best_of_every_size
from palm_engine.bundle.folder import Bundle

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "main.py"
SHIPPED = ROOT / "portfolios"
SECONDS = 120  # for one run of a page, on a busy machine too


def app_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, page: str | None = None, **query: str
) -> AppTest:
    """The dashboard on a folder of bundles, opened by an address with this query."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PALM_PORTFOLIOS", str(root))
    monkeypatch.setenv("PALM_PUBLIC", "1")  # AppTest has no server address to check
    app = AppTest.from_file(MAIN, default_timeout=SECONDS)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    return turn_to(app, page) if page else app


def turn_to(app: AppTest, page: str) -> AppTest:
    """The same session on another page."""
    return app.switch_page(f"../pages/{page}.py").run()


def on_the_shipped_demo(monkeypatch: pytest.MonkeyPatch, page: str) -> AppTest:
    """A page of the demo that is in the repository, when its work is done."""
    app = settle(app_on(SHIPPED, monkeypatch, page))
    assert not app.exception, [e.value for e in app.exception]
    return app


def panel(app: AppTest) -> dict[str, Any]:
    """What the server tells the browser's panel."""
    shown = [json.loads(c.proto.json) for c in app.get("bidi_component")]
    return next(dict(s) for s in shown if "members" in s)


def texts(app: AppTest) -> str:
    """Every text of a page, without the marks of explained words."""
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


def settle(app: AppTest) -> AppTest:
    """Until work beside the page is done; a browser would ask again by itself."""
    for _ in range(480):
        if not [b for b in app.button if b.label == "Cancel"]:
            return app
        time.sleep(0.25)
        app.run()
    raise AssertionError("the work never ended")


def curve_of(bundle: Bundle) -> CurveInfo:
    """The best of every size, as the pages draw it."""
    return best_of_every_size(bundle.points, bundle.policies)
