"""Charts draw the numbers of their Info dataclasses, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app import charts
from app.colours import FALLBACK_PALETTE, TRAIT_GREYS
from palm_engine.analysis.comparison import MethodCurve
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.guarantee import Reached
from palm_engine.analysis.plan import plan
from palm_engine.analysis.promise import Promise
from palm_engine.analysis.verdict import verdict
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


def test_the_tolerance_is_a_line_to_move_and_the_fewest_that_are_enough_are_lit() -> None:
    figure = charts.size_curve(INFO, None, [], "reward units", 0.12, 2)
    shapes = {s.name or s.type: s for s in figure.layout.shapes}
    assert (shapes["tolerance"].y0, shapes["tolerance"].y1) == (0.12, 0.12)
    lit = shapes["rect"]
    assert lit.x0 < 2 < lit.x1
    assert not (lit.x0 < 1 < lit.x1)
    assert not (lit.x0 < 3 < lit.x1)
    plain = charts.size_curve(INFO, None, [], "reward units", 0.01, None)
    assert [s.type for s in plain.layout.shapes] == ["line"]


def test_four_figures_by_size_stand_beside_each_other() -> None:
    points = np.eye(3) * 0.5 + 0.4
    told = verdict(INFO, ["a", "b", "c"], points, 0.12)
    figure = charts.multiples(told, 3, [1460.0, 1460.0, 2920.0], "EUR")
    promised, expected, covered, monthly = (list(t.y) for t in figure.data)
    assert promised == [0.3, 0.1, 0.05]
    assert expected == [r.expected for r in told.rows]
    assert covered == [r.covered for r in told.rows]
    assert monthly == [1460.0, 1460.0, 2920.0]
    assert told.enough is not None
    lit = [c != figure.data[0].marker.color[0] for c in figure.data[0].marker.color]
    assert lit.index(True) == told.enough.size - 1
    assert list(figure.data[0].marker.line.width) == [0, 0, 3]


def test_the_interval_shows_gap_bound_rival_and_what_is_tolerated() -> None:
    told = Promise("x", (), 0.02, 0.06, 0.95, 0.07, 0.01, 0.05)
    figure = charts.interval(told, 0.04)
    marks = next(t for t in figure.data if t.mode == "markers+text")
    assert list(marks.x) == [0.02, 0.07]
    band = next(t for t in figure.data if t.mode == "lines")
    assert list(band.x) == [0.02, 0.06]
    words = {a.text for a in figure.layout.annotations}
    assert words == {"95% bound 0.060", "aim 0.050", "tolerated 0.040"}
    assert [shape.x0 for shape in figure.layout.shapes] == [0.05, 0.04]
    # Without a bound and an aim there is only what is exact.
    plain = charts.interval(Promise("x", (), 0.02, None, None, 0.07, 0.01), None)
    assert len(plain.data) == 1
    assert not plain.layout.shapes


def test_users_are_drawn_where_their_weights_are_and_coloured_by_what_they_lose() -> None:
    weights = np.array([[1.0, 0, 0], [0, 1.0, 0], [0.25, 0.25, 0.5]])
    gaps = np.array([0.0, 0.02, 0.3])
    figure = charts.users(weights, gaps, ["x", "y", "z"], 0.1, most=0.5)
    dots = next(t for t in figure.data if t.mode == "markers")
    assert np.column_stack([dots.x, dots.y]) == pytest.approx(charts.user_places(weights))
    assert list(dots.marker.color) == list(gaps)
    assert (dots.marker.cmin, dots.marker.cmax) == (0, 0.5)
    assert list(dots.marker.line.width) == [0, 0, 1.5], "beyond the tolerance"
    two = charts.users(weights[:, :2], gaps, ["x", "y"], 0.1)
    assert list(two.data[0].x) == [1.0, 0.0, 0.25]


def test_what_each_member_buys_is_a_staircase_with_the_average_beside_it() -> None:
    info = plan(np.random.default_rng(0).random((4, 6, 2)), [0.1], Target(k=2), most=3)
    found = traces(charts.plan_curve(info, None, [0.1, 0.2, 0.3]))
    assert found["plan"].line.shape == "hv"
    assert list(found["value for the average user"].y) == [0.1, 0.2, 0.3]
    assert found["value for the average user"].yaxis == "y2"


def test_traits_never_look_like_members() -> None:
    def saturation(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return (max(parts) - min(parts)) / max(parts)

    assert all(saturation(c) < 0.3 for c in TRAIT_GREYS)
    assert all(saturation(c) > 0.35 for c in FALLBACK_PALETTE)
    assert len(set(TRAIT_GREYS)) == 8


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
