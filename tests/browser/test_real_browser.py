"""The dashboard in a real Chromium: open it, move a slider by keyboard, see the picked member and the gap change."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
NAMES = ("chromium", "chromium-browser", "google-chrome")
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    named = os.environ.get("PALM_CHROMIUM")
    found = named or next((p for n in NAMES if (p := shutil.which(n))), None)
    if found is None or not Path(found).exists():
        if os.environ.get("PALM_REQUIRE_BROWSER") == "1":
            pytest.fail("no Chromium was found and PALM_REQUIRE_BROWSER is set")
        pytest.skip("browser tests skipped: no Chromium found (install it, or name one with PALM_CHROMIUM)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        yield context.new_page()
        browser.close()


@pytest.fixture(scope="module")
def url(bundles: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app/main.py", "--server.port", str(port)]
    server = subprocess.Popen(
        [*command, "--server.headless", "true", "--", "--portfolios", str(bundles)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.25)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait(10)


def wait_for(page: Any, text: str) -> None:
    page.get_by_text(text, exact=False).first.wait_for(timeout=20_000)


def test_slider_by_keyboard_changes_member_and_gap(page: Any, url: str) -> None:
    page.goto(url)
    wait_for(page, "Which model answers you?")
    page.locator(".js-plotly-plot").first.wait_for(timeout=20_000)
    member = page.locator("h4 code").first
    value = page.locator('[data-testid="stMetricValue"]').first
    first = member.inner_text()
    page.get_by_role("slider").nth(2).focus()
    page.keyboard.press("End")
    page.wait_for_function("name => document.querySelector('h4 code').innerText !== name", arg=first, timeout=20_000)
    before = [member.inner_text(), value.inner_text()]
    page.get_by_role("slider").nth(1).focus()
    page.keyboard.press("Home")
    page.wait_for_function(
        "before => document.querySelector('h4 code').innerText !== before[0]"
        " && document.querySelector('[data-testid=stMetricValue]').innerText !== before[1]",
        arg=before,
        timeout=20_000,
    )
    assert "safety 0.33, humor 0.00, brevity 0.67" in page.get_by_text("Effective weights").inner_text()


def test_untrusted_text_neither_runs_nor_loads_anything(page: Any, url: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    wait_for(page, "What they answer")
    wait_for(page, "<script>")
    assert "owned" not in page.title()
    assert not [u for u in asked if "example.invalid" in u]
    assert not [u for u in asked if not u.startswith((url, "data:", "blob:", url.replace("http", "ws")))]


def test_clicking_a_size_changes_the_portfolio_everywhere(page: Any, url: str) -> None:
    page.goto(f"{url}/tradeoff")
    wait_for(page, "How many members are enough?")
    page.get_by_role("radio", name="4 members").or_(page.get_by_role("button", name="4 members")).first.click()
    wait_for(page, "In use now")
    page.get_by_role("link", name="Explore").first.click()
    wait_for(page, "4 members: best 4 of 7 candidates")


def test_nothing_overflows_on_a_phone(page: Any, url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    try:
        page.goto(url)
        wait_for(page, "What they answer")
        assert page.evaluate("document.documentElement.scrollWidth") <= 391
    finally:
        page.set_viewport_size({"width": 1440, "height": 900})
