"""docs/tour.md followed literally on the shipped demo: bold words are found where it says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.browser_tools import (
    ROOT,
    asked_until_found,
    open_page,
    open_panel,
    picked,
    settle,
    until,
    wait_for,
)

pytestmark = pytest.mark.browser
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8").replace("\n", " ")
# Named in the tour, but needs the model on this machine: tests/browser/test_live.py does it.
WITH_A_MODEL = {"Load the model"}


def bold() -> set[str]:
    """What the tour has in bold: names of pages, buttons, headings."""
    return {re.sub(r"\s+", " ", found) for found in re.findall(r"\*\*(.+?)\*\*", TOUR)}


def test_every_step_of_the_tour_does_what_it_says(page: Any, shipped: str) -> None:
    done: set[str] = set()

    def button(name: str) -> Any:
        done.add(name)
        # An icon's name may stand before it, a key behind.
        return page.get_by_role("button", name=re.compile(rf"(^|\s){re.escape(name)}\b")).first

    def link(name: str) -> None:
        done.add(name)
        page.get_by_role("link", name=name).first.click()

    # 1
    open_panel(page, shipped)
    assert (
        page.locator("[data-part=story]").inner_text().startswith("One model can't suit everyone")
    )
    first = picked(page)
    for trait in ("safety", "humor"):
        slider = page.get_by_role("slider", name=trait, exact=True)
        slider.focus()
        page.keyboard.press("End" if trait == "safety" else "Home")
    done.update(("safety", "humor"))
    assert picked(page) != first
    for mode in ("One model", "This portfolio", "Best there is", "This portfolio"):
        page.get_by_role("radio", name=mode).click()
        assert page.get_by_role("radio", name=mode).get_attribute("aria-checked") == "true"
        done.add(mode)
    page.get_by_text("Exact figures").first.click()
    done.add("Exact figures")
    before = picked(page)
    button("Go there").click()
    page.wait_for_timeout(300)
    assert picked(page) != before
    until(button("Share this view"))
    # The switch of the introduction.
    page.get_by_text("Expert", exact=True).click()
    until(page.get_by_text("scope: candidates", exact=False).first)
    page.get_by_text("Expert", exact=True).click()
    done.add("Expert")

    # 2
    link("Find my model")
    until(page.get_by_text("This one").first)
    asked_until_found(
        page, lambda _: page.get_by_role("button", name=re.compile("^This one")).first.click()
    )
    until(button("Undo"))
    button("Use these weights").click()
    wait_for(page, "These are your weights now")
    settle(page)
    weights = re.search(r"w=([\d.-]+)", page.url)
    link("Generations")
    until(page.get_by_role("radio", name="Live"))
    done.add("Live")
    assert weights is not None
    assert weights[1] in page.url

    # 3
    link("Trade-off") if "Trade-off" in bold() else page.get_by_role(
        "link", name="Trade-off"
    ).first.click()
    until(page.locator("[data-part=verdict]"))
    until(page.get_by_text("Beside PALM (reconstructed), greedy, uniform and random"))
    done.add("Beside PALM (reconstructed), greedy, uniform and random")
    button("Use 3 members on every page").click()
    page.wait_for_url(re.compile("k=3"))
    page.get_by_text("bundle's own", exact=True).first.click()
    page.wait_for_url(re.compile(r"^(?!.*k=3)"))
    done.add("bundle's own")
    until(page.get_by_role("heading", name="What it costs"))
    until(page.get_by_label("Price of a GPU hour"))
    done.add("What it costs")

    # 4
    open_page(page, shipped, "plan")
    until(page.locator("svg.map .movable").first)
    until(button("Back to the plan"))
    until(page.get_by_text("palm build configs/", exact=False).first)

    # 5
    open_page(page, shipped, "guarantee")
    until(page.locator("[data-part=promise]"))
    page.get_by_text("What is lost", exact=True).click()
    until(page.get_by_text("behind by", exact=False).first)
    until(button("Report to print"))
    done.update(("Guarantee", "What is lost"))
    open_page(page, shipped, "coverage")
    until(page.get_by_role("heading", name="Your users"))
    page.get_by_text("Around a mix", exact=True).click()
    until(page.get_by_text("users gather around a mix", exact=False).first)
    done.update(("Coverage", "Your users", "Around a mix"))
    assert bold() - WITH_A_MODEL <= done, bold() - done
