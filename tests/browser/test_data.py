"""The Data page in a real browser: a table is dropped, a few clicks later its map is explored."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from palm_engine.bundle.folder import read_bundle
from tests.support.browser_tools import ROOT, serve
from tests.support.tables import judged

pytestmark = pytest.mark.browser
DROP = """(zone, {name, content}) => {
    const data = new DataTransfer();
    data.items.add(new File([content], name, {type: "text/csv"}));
    for (const kind of ["dragenter", "dragover", "drop"])
        zone.dispatchEvent(
            new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


def test_a_table_is_explored_a_few_clicks_after_it_was_dropped(page: Any, tmp_path: Path) -> None:
    folder = tmp_path / "portfolios"
    folder.mkdir()
    with serve(ROOT / "app" / "main.py", "--portfolios", str(folder)) as (url, _):
        page.goto(f"{url}/data")
        page.get_by_text("One row per model", exact=True).wait_for()
        page.set_input_files(
            "input[type=file]", str(ROOT / "docs" / "examples" / "leaderboard.csv")
        )
        page.get_by_text("5 rows, 4 columns").wait_for()
        page.get_by_role("radio", name="higher").nth(2).click()
        page.get_by_text("palm import leaderboard.csv").wait_for()
        page.get_by_role("textbox", name="Name of the bundle").fill("mine")
        page.get_by_role("textbox", name="Name of the bundle").press("Enter")
        page.get_by_text(str(folder / "mine")).wait_for()
        page.get_by_role("button", name="Make the bundle").click()
        page.get_by_text("What matters to you?").wait_for()
        page.get_by_role("slider", name="Win Rate", exact=True).wait_for()
        assert "portfolio=mine" in page.url
        bundle = read_bundle(folder / "mine")
        assert bundle.traits == ["Win-Rate", "less-avg_length", "price-per-1M"]
        assert bundle.manifest.traits[2].direction == "higher"
        page.get_by_role("link", name="Guarantee").click()
        page.get_by_text("In full, with every figure").click()
        page.get_by_text("Imported from leaderboard.csv (5 rows)").wait_for()


def test_a_table_with_prompts_that_is_dropped_is_certified_by_clicks(
    page: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "portfolios"
    folder.mkdir()
    with serve(ROOT / "app" / "main.py", "--portfolios", str(folder)) as (url, _):
        page.goto(f"{url}/data")
        page.get_by_text("One row per model", exact=True).wait_for()
        zone = page.get_by_test_id("stFileUploaderDropzone")
        zone.evaluate(DROP, {"name": "judged.csv", "content": judged()})
        page.get_by_text("180 rows, 6 columns").wait_for()
        page.get_by_role("button", name="Make the bundle").click()
        page.get_by_text("What matters to you?").wait_for()
        certificate = read_bundle(folder / "judged").manifest.certificate
        assert certificate is not None
        assert certificate.additive.prompts == 15
        assert certificate.additive.upper > certificate.additive.estimate
        page.get_by_role("link", name="Guarantee").click()
        page.get_by_text("95% bound").first.wait_for()
        page.get_by_role("link", name="Generations").click()
        page.get_by_text(re.compile(r"Answer \d+ of \d")).first.wait_for()
