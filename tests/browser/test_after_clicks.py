"""What is there after a click: files that are what they say, and rules that still hold."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser_tools import (
    ROOT,
    download,
    open_page,
    serious_violations,
    settle,
    unfold,
    until,
    violations_of_bare_streamlit,
)

pytestmark = pytest.mark.browser
# Pages, and how many files of numbers they have at least, without a click.
FILES = {"tradeoff": 3, "coverage": 1, "plan": 3, "guarantee": 1, "generations": 1}


def rows_of(text: str) -> list[list[str]]:
    """The rows of a CSV, its header first."""
    return list(csv.reader(io.StringIO(text)))


def check(text: str) -> list[list[str]]:
    """A CSV with columns of names of their own, rows as wide, and no cell that would run."""
    rows = rows_of(text)
    header = rows[0]
    assert len(rows) > 1
    assert len(header) == len({*header}) > 1
    assert {len(row) for row in rows} == {len(header)}
    for cell in (cell for row in rows for cell in row):
        if cell[:1] in ("=", "+", "@", "-"):
            float(cell)  # a number may begin so, and nothing else
    return rows


@pytest.mark.parametrize("path", FILES)
def test_every_file_of_numbers_is_a_table(page: Any, url: str, path: str) -> None:
    open_page(page, url, path)
    seen = 0
    tables = page.get_by_role("button", name=" as CSV")
    openers = page.locator("[class*=st-key-download] button")
    until(tables.or_(openers).nth(FILES[path] - 1), "attached")
    for i in range(tables.count()):
        if tables.nth(i).is_visible():
            with download(page) as started:
                tables.nth(i).click()
            check(Path(started.value.path()).read_text())
            seen += 1
    for i in range(openers.count()):
        if not openers.nth(i).is_visible():
            continue
        openers.nth(i).click()
        inside = page.locator("[data-testid=stPopoverBody]").get_by_role(
            "button", name="Numbers as CSV"
        )
        until(inside)
        with download(page) as started:
            inside.click()
        check(Path(started.value.path()).read_text())
        page.keyboard.press("Escape")
        until(inside, "detached")
        seen += 1
    assert seen >= FILES[path]


def test_find_has_keys_for_every_answer_and_a_file_of_them(page: Any, url: str) -> None:
    page.goto(f"{url}/find")
    until(page.locator("[data-part=asked]"))
    settle(page)
    page.wait_for_timeout(1000)  # keys count from when the page has settled
    for number, key in enumerate("bns", start=1):
        until(page.get_by_text(f"Question {number}:"))
        page.keyboard.press(key)
        until(page.get_by_text(f"Question {number + 1}:"))
        page.wait_for_timeout(300)
    page.keyboard.press("u")
    until(page.get_by_text("Question 3:"))
    with download(page) as started:
        page.get_by_role("button", name="My answers as CSV").click()
    rows = check(Path(started.value.path()).read_text())
    text = str(rows)
    assert len(rows) == 3, "what was taken back isn't in it"
    assert "both" in text
    assert "neither" in text


@pytest.fixture(scope="module")
def bare(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return violations_of_bare_streamlit(browser, tmp_path_factory.mktemp("bare"))


def beside(page: Any, url: str) -> None:
    """Trade-off beside other methods."""
    open_page(page, url, "tradeoff")
    page.get_by_text("Beside PALM").click()
    settle(page)
    until(page.get_by_role("button", name="Cancel"), "detached")


def in_percent(page: Any, url: str) -> None:
    """Trade-off in percent."""
    open_page(page, url, "tradeoff?gap=In%20percent")
    until(page.get_by_text("percent of what the best would give").first)


def around(page: Any, url: str) -> None:
    """Coverage of users around a mix."""
    open_page(page, url, "coverage")
    page.get_by_role("radio", name="Around a mix").click()
    settle(page)


def required(page: Any, url: str) -> None:
    """Coverage for users who require a trait."""
    open_page(page, url, "coverage")
    page.get_by_role("radio", name="Required", exact=True).click()
    until(page.locator("[data-part=utility-ours]"))
    settle(page)


def unfolded(page: Any, url: str) -> None:
    """Guarantee with every figure."""
    open_page(page, url, "guarantee")
    unfold(page, "In full, with every figure")


def guide(page: Any, url: str, name: str) -> None:
    """A part of the guide, opened."""
    open_page(page, url, "coverage")
    page.get_by_role("button", name=name).click()
    until(page.locator("[data-testid=stPopoverBody]"))


def tour(page: Any, url: str) -> None:
    """The tour."""
    guide(page, url, "Tour")


def words(page: Any, url: str) -> None:
    """The glossary."""
    guide(page, url, "Words")


def table(page: Any, url: str) -> None:
    """Data with a table."""
    open_page(page, url, "data")
    page.set_input_files("input[type=file]", str(ROOT / "docs" / "examples" / "leaderboard.csv"))
    until(page.get_by_text("5 rows, 4 columns"))
    settle(page)


def answered(page: Any, url: str) -> None:
    """Find my model after an answer."""
    open_page(page, url, "find")
    page.get_by_role("button", name="This one").click()
    until(page.get_by_text("Question 2:"))


def experts(page: Any, url: str) -> None:
    """Plan with every setting."""
    open_page(page, url, "plan?expert=1")


STATES = (beside, in_percent, around, required, unfolded, tour, words, table, answered, experts)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_no_rule_is_broken_after_a_click(page: Any, url: str, bare: set[str], state: Any) -> None:
    state(page, url)
    page.wait_for_timeout(500)
    ours = serious_violations(page)
    left_out = bare - {"color-contrast"}
    assert {rule: what for rule, what in ours.items() if rule not in left_out} == {}
