"""The dashboard on a phone: a finger scrolls, the guide fits, words are plain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser_tools import PAGES, open_page, open_panel, until, your_weights

pytestmark = pytest.mark.browser
WIDTH, HEIGHT = 390, 844


@pytest.fixture
def phone(browser: Any) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, has_touch=True, is_mobile=True
    )
    yield context.new_page()
    context.close()


def test_a_swipe_over_the_map_scrolls_and_leaves_the_weights(phone: Any, url: str) -> None:
    open_panel(phone, f"{url}/?w=50-30-20")
    chart = phone.locator("svg.map")
    before = your_weights(phone)
    top = chart.bounding_box()["y"]
    box = chart.bounding_box()
    # From beside the mark, which a finger may take.
    x, y = box["x"] + 0.2 * box["width"], box["y"] + 0.6 * box["height"]
    finger = phone.context.new_cdp_session(phone)

    def touch(kind: str, *at: float) -> None:
        points = [{"x": at[0], "y": at[1]}] if at else []
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", x, y)
    for step in range(1, 21):
        touch("touchMove", x, y - 10 * step)
        phone.wait_for_timeout(16)
    touch("touchEnd")
    phone.wait_for_timeout(500)
    assert chart.bounding_box()["y"] < top - 100, "the page has moved"
    assert your_weights(phone) == before


@pytest.mark.parametrize("name", ["Tour", "Words"])
def test_the_guide_opens_inside_the_window(phone: Any, url: str, name: str) -> None:
    open_page(phone, url, "coverage")
    opener = phone.get_by_role("button", name=name)
    until(opener)
    opener.tap()
    body = phone.locator("[data-testid=stPopoverBody]")
    until(body)
    phone.wait_for_timeout(400)
    box = body.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= WIDTH + 1
    assert len(body.inner_text()) > 100


def test_expert_is_one_tap_away(phone: Any, url: str) -> None:
    open_page(phone, url, "coverage")
    phone.get_by_text("Expert", exact=True).tap()
    phone.wait_for_url("**/coverage?*expert=1*")


@pytest.mark.parametrize("path", PAGES)
def test_nothing_of_the_shipped_demo_overflows(phone: Any, shipped: str, path: str) -> None:
    open_page(phone, shipped, path)
    assert phone.evaluate("document.documentElement.scrollWidth") <= WIDTH + 1


@pytest.mark.parametrize("path", ["tradeoff", "coverage", "plan", "guarantee", "generations"])
def test_titles_and_legends_of_charts_are_whole(phone: Any, shipped: str, path: str) -> None:
    open_page(phone, shipped, path)
    chart = phone.locator(".js-plotly-plot .main-svg").first
    until(chart, "attached")
    cut = phone.evaluate("""() => {
      const plots = [...document.querySelectorAll(".js-plotly-plot")];
      return plots.flatMap((plot) => {
        const whole = plot.getBoundingClientRect();
        const texts = plot.querySelectorAll(".gtitle, .xtitle, .ytitle, .legendtext");
        return [...texts].filter((text) => {
            const box = text.getBoundingClientRect();
            return box.width > 0 && (box.left < whole.left - 2 || box.right > whole.right + 2);
        }).map((text) => text.textContent);
      });
    }""")
    assert cut == []
