"""What decides, in a real Chromium on the shipped demo: moved plans, brushed users, the card."""

from __future__ import annotations

import csv
import io
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palm_engine.analysis.promise import promise
from palm_engine.bundle.folder import read_bundle
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.simplex import grid
from tests.support.browser_tools import ROOT, download, open_page, until, wait_for

pytestmark = pytest.mark.browser
DEMO = ROOT / "portfolios" / "demo"


def metric(page: Any, label: str) -> Any:
    """The value of a metric."""
    found = page.locator("[data-testid=stMetric]").filter(has=page.get_by_text(label, exact=True))
    return found.locator("[data-testid=stMetricValue]")


def test_a_planned_member_is_dragged_and_its_gap_value_and_build_follow(
    page: Any, shipped: str
) -> None:
    open_page(page, shipped, "plan")
    until(metric(page, "Predicted worst gap"))
    before = metric(page, "Predicted worst gap").inner_text()
    page.get_by_text("Gap", exact=True).last.click()
    until(page.locator("svg.map image"))
    field = page.locator("svg.map image").get_attribute("href")
    page.locator("svg.map").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = page.locator("svg.map .movable").first.bounding_box()
    corner = page.locator("svg.map").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(
        corner["x"] + 0.5 * corner["width"], corner["y"] + 0.5 * corner["height"], steps=8
    )
    # The gap follows in the browser, before anything is sent.
    assert page.locator("svg.map image").get_attribute("href") != field
    page.mouse.move(
        corner["x"] + 0.5 * corner["width"], corner["y"] + 0.7 * corner["height"], steps=8
    )
    page.mouse.up()
    until(page.get_by_text(re.compile(r"to the plan$")).first)
    assert metric(page, "Predicted worst gap").inner_text() != before
    assert "trains at the weights above" in page.locator("[data-testid=stMain]").inner_text()
    with download(page) as saved:
        page.get_by_role("button", name="Configuration (TOML)").click()
    text = Path(saved.value.path()).read_text()
    assert "members = [" in text
    # By keys, too; and back.
    page.locator("svg.map .movable").nth(1).focus()
    moved = page.locator("svg.map .movable").nth(1).bounding_box()
    page.keyboard.press("ArrowUp")
    deadline = time.monotonic() + 20
    while page.locator("svg.map .movable").nth(1).bounding_box() == moved:
        assert time.monotonic() < deadline, "the key moves the member"
        page.wait_for_timeout(50)
    assert page.evaluate(
        "() => { const r = document.querySelector('svg.map')?.getRootNode() ?? document;"
        " return (r.activeElement ?? document.activeElement)?.dataset?.member; }"
    ) in ("1", None)
    page.get_by_role("button", name="Back to the plan").click()
    page.wait_for_function(
        f"() => [...document.querySelectorAll('[data-testid=stMetricValue]')]"
        f".some((e) => e.innerText === '{before}')"
    )


def test_users_are_uploaded_brushed_and_compared(page: Any, shipped: str, tmp_path: Path) -> None:
    bundle = read_bundle(DEMO)
    weights = grid(3, 40)
    rows = ["safety,humor,brevity,segment"]
    rows += [f"{a},{b},{c},{'left' if b > c else 'right'}" for a, b, c in weights]
    (tmp_path / "users.csv").write_text("\n".join(rows))
    open_page(page, shipped, "coverage")
    page.get_by_text("Uploaded", exact=True).click()
    with download(page) as saved:
        page.get_by_role("button", name="A sample file").click()
    sample = list(csv.reader(io.StringIO(Path(saved.value.path()).read_text())))
    assert sample[0] == [*bundle.traits, "count", "segment"]
    page.locator("input[type=file]").set_input_files(str(tmp_path / "users.csv"))
    wait_for(page, "of your users are within what is tolerated")
    until(page.locator("[data-part=your-users]"))
    until(page.get_by_text("By segment"))
    # A box over the lower left: who likes humor.
    chart = page.locator(".js-plotly-plot").filter(has_text="coloured by what they lose").first
    chart.scroll_into_view_if_needed()
    area = chart.locator(".nsewdrag").first.bounding_box()
    page.get_by_role("button", name="Box Select").first.click(force=True)
    page.mouse.move(area["x"] + 0.02 * area["width"], area["y"] + 0.98 * area["height"])
    page.mouse.down()
    page.mouse.move(area["x"] + 0.45 * area["width"], area["y"] + 0.5 * area["height"], steps=6)
    page.mouse.up()
    wait_for(page, "Brushed:")
    told = page.get_by_text(re.compile("Brushed: ")).inner_text()
    count = int(re.search(r"Brushed: ([\d,]+) of 861 users", told)[1].replace(",", ""))  # type: ignore[index]
    assert 0 < count < 861
    assert "left" in told
    with download(page) as saved:
        page.get_by_role("button", name="These users as CSV").click()
    brushed = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text())))
    assert len(brushed) == count
    best = bundle.points
    for row in brushed[:: max(1, count // 20)]:
        w = np.array([float(row[t]) for t in bundle.traits])
        values = best @ w
        assert row["member"] in [bundle.policies[i] for i in bundle.members]
        assert float(row["gap"]) == pytest.approx(
            values.max() - values[bundle.row(row["member"])], abs=1e-6
        )
    page.locator(".st-key-after-demo input").click()
    page.keyboard.type("the best 1")
    page.keyboard.press("Enter")
    until(page.get_by_text("Lost on average, with the best 1"))


def test_the_card_says_what_the_bundle_promises(page: Any, shipped: str) -> None:
    bundle = read_bundle(DEMO)
    certificate = bundle.manifest.certificate
    assert certificate is not None
    open_page(page, shipped, "guarantee")
    told = promise(bundle, tuple(bundle.members), certificate.additive)
    assert page.locator("[data-part=promise]").inner_text() == told.sentence
    card = page.locator("[data-testid=stMain]").inner_text()
    for check in told.checks:
        assert check.text in card
    plot = page.locator(".js-plotly-plot").first.text_content()
    assert f"{worst_gap(bundle.points[bundle.members], bundle.points).additive:.3f}" in plot
    assert f"95% bound {certificate.additive.upper:.3f}" in plot
    assert "aim 0.050" in plot
    # What isn't on the card is folded.
    assert not page.get_by_text("Embedding distance: mean pairwise").is_visible()
    page.get_by_text("How differently members answer").click()
    until(page.get_by_text("Embedding distance: mean pairwise"))


def test_a_size_is_taken_where_it_is_enough_and_all_four_figures_are_beside_each_other(
    page: Any, shipped: str
) -> None:
    open_page(page, shipped, "tradeoff")
    page.get_by_role("button", name=re.compile("Use 3 members on every page")).click()
    page.wait_for_url(re.compile(r"k=3"))
    charts = page.locator(".js-plotly-plot")
    until(charts.filter(has_text="per month (").first)
    text = charts.filter(has_text="per month (").first.text_content()
    for title in ("worst gap, promised", "average loss", "within tolerance"):
        assert title in text
    open_page(page, shipped, "?k=3")
    assert "These 3 together" in page.locator("[data-part=story]").inner_text()
