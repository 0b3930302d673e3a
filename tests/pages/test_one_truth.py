"""One quantity has one value: every page is walked, and what it says of a figure is compared."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from palm_engine.analysis.curves import best_of_every_size
from palm_engine.analysis.verdict import verdict
from palm_engine.bundle.folder import read_bundle
from tests.pages.test_pages import MAIN, ROOT, settle, texts

NUMBER = r"(\d+\.\d+)"
# What a page says in words, by the figure that it says it of.
SAID = {
    "worst gap in use": (
        rf"Worst gap {NUMBER} \(scope",
        rf"Worst anywhere, exact: {NUMBER}",
        rf"this portfolio has {NUMBER}",
        rf"is at most {NUMBER} \(reward units\) behind the best",
    ),
    "share lost at most": (
        rf"together lose at most {NUMBER} %",
        rf"models loses at most {NUMBER} %",
        rf"at most {NUMBER}% is lost",
    ),
    "bound": (
        rf"bound {NUMBER} from \d+ prompts",
        rf"certain that the worst gap is at most {NUMBER} on",
        rf"confidence the worst gap is at most {NUMBER} on",
    ),
    "worst gap of the best single model": (rf"has a worst gap of {NUMBER}; this portfolio",),
}
# Metrics that are the same figure, by their labels.
METRICS = {"Lost on average": "expected gap of uniform users"}
PAGES = ("explore", "tradeoff", "coverage", "generations", "guarantee")


def collected(app: AppTest) -> dict[str, list[float]]:
    """Every figure that a page says, by what it is of."""
    found: dict[str, list[float]] = defaultdict(list)
    everything = texts(app)
    for figure, patterns in SAID.items():
        for pattern in patterns:
            found[figure] += [float(x) for x in re.findall(pattern, everything)]
    for metric in app.metric:
        if metric.label in METRICS:
            found[METRICS[metric.label]].append(float(metric.value))
    for component in app.get("bidi_component"):
        shown = json.loads(component.proto.json)
        if shown.get("worst") and shown["scope"] == "candidates":
            found["worst gap in use"].append(shown["worst"]["additive"])
            found["bound"] += [
                float(x) for x in re.findall(SAID["bound"][0], shown["worst"]["text"])
            ]
    return found


def agree(values: list[float]) -> bool:
    """Whether all are one number, as far as their own decimals go."""
    # The coarsest that is printed has three decimals, or a tenth of a percent.
    return max(values) - min(values) <= (0.051 if max(values) > 1 else 0.00051)


@pytest.mark.parametrize("size", [None, 2])
@pytest.mark.parametrize("name", ["demo", "shipped"])
def test_no_figure_has_two_values(
    bundles: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int | None
) -> None:
    root = bundles if name == "demo" else ROOT / "portfolios"
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PALM_PORTFOLIOS", str(root))
    monkeypatch.setenv("PALM_PUBLIC", "1")
    app = AppTest.from_file(MAIN, default_timeout=60).run()
    if size is not None:
        app.session_state["size.demo"] = size
    figures: dict[str, list[float]] = defaultdict(list)
    for page in PAGES:
        app.switch_page(f"../pages/{page}.py").run()
        settle(app)
        assert not app.exception, [e.value for e in app.exception]
        for figure, values in collected(app).items():
            figures[figure] += values
    bundle = read_bundle(root / "demo")
    k = size or len(bundle.members)
    if name == "demo" and size is not None:
        info = best_of_every_size(bundle.points, bundle.policies)
        told = verdict(info, bundle.policies, bundle.points, 0.05)
        row = next(r for r in told.rows if r.size == k)
        figures["expected gap of uniform users"].append(row.expected)
        figures["worst gap in use"].append(row.worst)
    assert len(figures["worst gap in use"]) >= 4
    assert len(figures["share lost at most"]) >= 2
    if name == "shipped" and size is None:
        assert len(figures["bound"]) >= 3
    for figure, values in figures.items():
        if values:
            assert agree(values), f"{figure}: {sorted(set(values))}"


def test_the_comparison_notices_a_second_value() -> None:
    assert agree([0.0203, 0.020, 0.0203])
    assert not agree([0.0203, 0.0290])
    assert agree([4.0, 3.98])
    assert not agree([4.0, 3.7])
