"""Trade-off under AppTest: the verdict, methods beside the exact best, what one more costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from palm_engine.analysis.curves import best_of_every_size
from palm_engine.bundle.folder import read_bundle
from tests.support.fakes import live_bundle, tiny_base
from tests.support.pages import ROOT, app_on, on_the_shipped_demo, settle, texts


def test_no_method_is_below_the_exact_one_where_it_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palm_engine.analysis.comparison.RANDOM_DRAWS", 3)
    app = on_the_shipped_demo(monkeypatch, "tradeoff")
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


def test_a_plan_is_offered_where_there_is_a_pool(open_app: Any) -> None:
    for name, offered in (("demo", ["Candidates", "Plan"]), ("no-texts", ["Candidates"])):
        app = settle(open_app(name, "tradeoff"))
        view = app.segmented_control(key=f"view.{name}")
        assert list(view.options) == offered


def test_it_says_that_the_best_for_the_worst_off_can_be_worse_on_average(open_app: Any) -> None:
    app = settle(open_app(page="tradeoff"))
    assert "can serve the average one worse than a smaller portfolio does: both are shown" in texts(
        app
    )
    (drawn,) = [
        made
        for chart in app.get("plotly_chart")
        if any("average loss" in str(t.get("hovertemplate")) for t in _spec(chart)["data"])
        for made in [_spec(chart)]
    ]
    kinds = " ".join(str(a.get("text")) for a in drawn["layout"]["annotations"])
    assert "worst" in kinds
    assert "average" in kinds or "expected" in kinds


def test_what_a_gpu_holds_is_measured_from_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_base(tmp_path / ".base")
    bundle = live_bundle(tmp_path / "demo", base)
    settle(app := app_on(tmp_path, monkeypatch, "tradeoff"))
    adapters = [
        sum(tensor.size for tensor in load_file(f).values())
        for f in sorted(bundle.folder.glob("adapters/*/adapter_model.safetensors"))
    ]
    whole = sum(t.size for f in base.glob("*.safetensors") for t in load_file(f).values())
    by_label = {n.label: n for n in app.number_input}
    megabytes = by_label["One adapter on the GPU (MB)"]
    assert megabytes.value == pytest.approx(2 * np.mean(adapters) / 1e6, abs=0.06)
    assert "Measured: mean of the members" in megabytes.help
    gigabytes = by_label["Base model on the GPU (GB)"]
    assert gigabytes.value == pytest.approx(2 * whole / 1e9, abs=0.006)
    assert "Measured" in gigabytes.help


def _spec(chart: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(chart.proto.spec)
    return made
