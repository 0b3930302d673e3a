"""Plan under AppTest: settings, moved members, what is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.state import _mark
from palm_engine.bundle.folder import read_bundle
from palm_engine.selection.result import Target
from tests.support.pages import app_on, expert, panel, settle, texts, turn_to


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
        return settle(turn_to(other, "plan"))

    assert panel(linked(text))["trained"] == moved["trained"]
    turn_to(app, "coverage")
    turn_to(app, "plan")
    assert panel(settle(app))["trained"] == moved["trained"]
    for odd in ("x", f"{mark}~", f"{mark}~1.x", f"{mark}~99999999", f"{mark}~1"):
        assert panel(linked(odd))["trained"] == shown["trained"]
    app.button(key="unmove.demo").click().run()
    settle(app)
    assert [m.value for m in app.metric] == planned
    assert "moved" not in app.query_params


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
