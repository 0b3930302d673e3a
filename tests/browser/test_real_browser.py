"""The dashboard in a real Chromium: open it, move a slider by keyboard, see the picked member and the gap change."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palm_engine.bundle import read_bundle
from palm_engine.explore import pick_info

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
def served(bundles: Path) -> Iterator[tuple[str, Any]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app/main.py", "--server.port", str(port)]
    server = subprocess.Popen(
        [*command, "--server.headless", "true", "--", "--portfolios", str(bundles)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.25)
        yield f"http://localhost:{port}", server
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def url(served: tuple[str, Any]) -> str:
    return served[0]


@pytest.fixture(scope="module")
def server(served: tuple[str, Any]) -> Any:
    return served[1]


def wait_for(page: Any, text: str) -> None:
    page.get_by_text(text, exact=False).first.wait_for(timeout=20_000)


def picked(page: Any) -> list[str]:
    return [page.locator(f"[data-part={part}]").inner_text() for part in ("picked", "gap")]


def wait_for_answer_of(page: Any, member: str) -> None:
    """The server has followed: the card of the picked member's recorded answer is there."""
    cards = page.locator("article", has_text="picked at your weights")
    cards.get_by_text(member, exact=True).first.wait_for(timeout=20_000)


def test_slider_by_keyboard_changes_member_and_gap(page: Any, url: str) -> None:
    page.goto(url)
    wait_for(page, "Which model answers you?")
    page.locator("[data-part=picked]").wait_for(timeout=20_000)
    first = picked(page)
    page.get_by_role("slider", name="brevity", exact=True).focus()
    page.keyboard.press("End")
    page.wait_for_timeout(100)
    second = picked(page)
    assert second[0] != first[0]
    page.get_by_role("slider", name="humor", exact=True).focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(100)
    third = picked(page)
    assert third[0] != second[0]
    assert third[1] != second[1]
    assert "safety 0.33, humor 0.00, brevity 0.67" in page.get_by_text("Effective weights").inner_text()
    wait_for_answer_of(page, third[0])


def drag(page: Any, steps: int) -> Any:
    """Drag the puck to the top corner of the map and down to the left; yields after each step."""
    box = page.locator("svg.map").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 0.6 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    for i in range(1, steps + 1):
        page.mouse.move(x - 0.2 * box["width"] * i / steps, y + 0.3 * box["height"] * (i / steps - 0.5))
        yield i
    page.mouse.up()


def test_dragging_the_puck_changes_the_member_with_the_server_frozen(page: Any, url: str, server: Any) -> None:
    page.goto(url)
    page.locator("[data-part=picked]").wait_for(timeout=20_000)
    page.wait_for_timeout(1000)
    seen = set()
    server.send_signal(signal.SIGSTOP)
    try:
        for _ in drag(page, 24):
            page.wait_for_timeout(20)
            seen.add(tuple(picked(page)))
    finally:
        server.send_signal(signal.SIGCONT)
    assert len({member for member, _ in seen}) > 1
    assert len(seen) > 12
    wait_for_answer_of(page, picked(page)[0])


def test_the_browser_picks_what_the_engine_picks(page: Any, url: str, bundles: Path) -> None:
    """At weights of every number of traits; the engine's own figures are the reference."""
    draws = np.random.default_rng(1)
    for name, d in (("two", 2), ("demo", 3), ("five", 5)):
        bundle = read_bundle(bundles / name)
        for raw in (draws.random((4, d)) * 100).round(1):
            page.goto(f"{url}/?portfolio={name}&w={'-'.join(f'{x:g}' for x in raw)}")
            page.locator("[data-part=picked]").wait_for(timeout=20_000)
            expected = pick_info(bundle.points, bundle.members, raw / raw.sum())
            assert picked(page) == [bundle.policies[expected.member], f"{expected.gap:.4f}"]


def test_a_copied_address_opens_the_same_view(page: Any, url: str) -> None:
    page.goto(url)
    page.locator("[data-part=picked]").wait_for(timeout=20_000)
    page.get_by_role("button", name="All humor").click()
    page.wait_for_function("new URLSearchParams(location.search).get('w') === '0-100-0'")
    page.wait_for_function("new URLSearchParams(location.search).get('portfolio') === 'demo'")
    there = picked(page)
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("[data-part=picked]").wait_for(timeout=20_000)
    assert picked(other) == there
    assert other.get_by_role("slider", name="humor", exact=True).input_value() == "100"
    other.close()


def test_the_shared_file_is_alive_without_server_or_network(page: Any, url: str, tmp_path: Path) -> None:
    page.goto(url)
    wait_for(page, "What they answer")
    with page.expect_download() as started:
        page.get_by_role("button", name="Share this view").click()
    file = tmp_path / "shared.html"
    started.value.save_as(file)
    alone = page.context.browser.new_context(offline=True)
    shared = alone.new_page()
    problems: list[str] = []
    shared.on("pageerror", lambda error: problems.append(str(error)))
    shared.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    shared.goto(file.as_uri())
    first = picked(shared)
    assert first == picked(page)
    seen = set()
    for _ in drag(shared, 24):
        shared.wait_for_timeout(20)
        seen.add(picked(shared)[0])
    assert len(seen) > 1
    assert "<script>document.title" in shared.locator("#answers").inner_text()
    assert "owned" not in shared.title()
    assert problems == []
    alone.close()


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
