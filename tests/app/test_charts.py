"""Charts draw the numbers of their Info dataclasses, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app import charts
from palm_engine.analysis.comparison import MethodCurve
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.guarantee import Reached
from palm_engine.analysis.plan import plan
from palm_engine.selection.result import Target

INFO = CurveInfo(
    (1, 2, 3), (("a",), ("a", "b"), ("a", "b", "c")), (0.3, 0.1, 0.05), None, None, None, True
)


def traces(figure: Any) -> dict[str, Any]:
    return {t.name: t for t in figure.data if t.name}


def test_the_curve_shows_choose_gaps_or_certify_gaps_with_their_bound() -> None:
    figure = charts.size_curve(INFO, (2, 0.1), [], "reward units")
    assert list(traces(figure)["exact best"].y) == list(INFO.choose)
    ring = figure.data[-1]
    assert (ring.x[0], ring.y[0]) == (2, 0.1)
    certified = CurveInfo(
        INFO.sizes, INFO.members, INFO.choose, (0.31, 0.12, 0.06), (0.35, 0.15, 0.08), 0.95, True
    )
    found = traces(charts.size_curve(certified, None, [], "reward units"))
    assert list(found["exact best, measured on other prompts"].y) == [0.31, 0.12, 0.06]
    assert list(found["95% bound, all sizes at once"].y) == [0.35, 0.15, 0.08]


def test_other_methods_keep_their_figures_and_random_its_range() -> None:
    random = MethodCurve(
        "random",
        "random weights",
        (1, 2, 3),
        ((0,), (0, 1), (0, 1, 2)),
        (0.5, 0.4, 0.3),
        (0.4, 0.3, 0.2),
        (0.6, 0.5, 0.4),
    )
    figure = charts.size_curve(INFO, None, [random], "reward units")
    assert list(traces(figure)["random weights"].y) == [0.5, 0.4, 0.3]
    band = next(t for t in figure.data if t.fill == "toself")
    assert list(band.y) == [0.6, 0.5, 0.4, 0.2, 0.3, 0.4]


def test_the_plan_rings_what_was_chosen() -> None:
    info = plan(np.random.default_rng(0).random((4, 6, 2)), [0.1], Target(k=2), most=3)
    figure = charts.plan_curve(info, (2, info.chosen.gap.additive))
    assert list(traces(figure)["plan"].y) == [s.gap.additive for s in info.curve]
    assert figure.data[-1].y[0] == info.chosen.gap.additive


def test_bars_and_dots_are_the_rows() -> None:
    bars = charts.usage_bars(["a", "b"], [0.25, 0.75], ["#111111", "#222222"])
    assert list(bars.data[0].x) == [0.25, 0.75]
    assert list(bars.data[0].y) == ["a", "b"]
    rows = [Reached("a", "Careful", 0.7, 0.6, True), Reached("b", "b", 0.5, 0.4, False)]
    found = traces(charts.reached(rows))
    assert (found["members"].x[0], found["members"].y[0]) == (0.7, 0.6)
    assert found["members"].text[0] == "Careful"
    assert found["others"].x[0] == pytest.approx(0.5)


def test_the_worst_served_are_numbered_and_the_chosen_one_is_lined() -> None:
    weights = np.array([[0.0, 0.0, 1.0], [0.2, 0.8, 0.0]])
    gaps = np.array([0.04, 0.01])
    made = charts.worst_places(weights, gaps, ["a", "b"], ["#111", "#222"], list("xyz"), 1)
    marks = made.data[-1]
    assert list(marks.text) == ["1", "2"]
    assert list(marks.marker.line["width"]) == [0, 4]
    assert marks.marker.size[0] > marks.marker.size[1]
    # The corners of x, y and z are the top, the left and the right.
    assert (marks.x[0], marks.y[0]) == pytest.approx((1.0, 0.0))
    two = charts.worst_places(weights[:, 1:], gaps, ["a", "b"], ["#111", "#222"], list("yz"), 0)
    assert [bar.name for bar in two.data] == ["y", "z"]
    assert list(two.data[0].x) == [0.0, 0.8]
