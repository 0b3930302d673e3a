"""Live answers in a real browser: type, stream, stop, stream again.

Two sessions see only their own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser_tools import ROOT, download, serve, until

pytestmark = pytest.mark.browser
pytest.importorskip("torch")


@pytest.fixture(scope="module")
def live_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from tests.support.fakes import live_bundle, tiny_base

    root = tmp_path_factory.mktemp("live")
    base = tiny_base(root / ".base")
    (root / "all").mkdir()
    live_bundle(root / "all" / "demo", base)
    with serve(ROOT / "app" / "main.py", "--portfolios", str(root / "all")) as (address, _):
        yield f"{address}/generations"


def open_live(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_role("radio", name="Live").click()
    prompt = page.get_by_label("Your prompt")
    until(prompt.or_(page.get_by_role("button", name="Load the model")).first)
    if not prompt.is_visible():
        page.get_by_role("button", name="Load the model").click()
    until(prompt)


def set_tokens(page: Any, count: int) -> None:
    page.get_by_role("button", name="Sampling").click()
    field = page.get_by_label("New tokens, at most")
    field.fill(str(count))
    field.press("Enter")
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)


def ask(page: Any, prompt: str) -> None:
    page.get_by_label("Your prompt").fill(prompt)
    page.get_by_role("button", name="Ask").click()


def names(page: Any) -> list[str]:
    """Whose the cards are, in their order."""
    return [str(c).split("\n")[0] for c in cards(page)]


def cards(page: Any) -> list[str]:
    return [c.strip() for c in page.locator("article").all_inner_texts()]


def test_type_stream_stop_and_stream_again(page: Any, live_url: str) -> None:
    open_live(page, live_url)
    set_tokens(page, 400)
    ask(page, "Tell me a very long story")
    until(page.locator("article").first)
    first = cards(page)
    page.wait_for_function(
        "(before) => document.querySelector('article').innerText.trim() !== before", arg=first[0]
    )
    places = names(page)
    page.get_by_role("button", name="Stop").click()
    until(page.get_by_text("Stopped.").first)
    assert len(cards(page)) == 4
    assert names(page) == places, "cards keep their places when they are done"
    until(page.get_by_text("What was stopped is not scored: ask again", exact=False).first)
    assert page.get_by_role("button", name="Stop").count() == 0

    set_tokens(page, 12)
    page.get_by_label("Your prompt").fill("Once more, shortly")
    page.keyboard.press("Control+Enter")
    until(page.get_by_text("“Once more, shortly”").first)
    until(page.get_by_text("Best at your weights").first)
    with download(page) as started:
        page.get_by_role("button", name="History as JSON").click()
    text = Path(started.value.path()).read_text()
    assert '"stopped": true' in text
    assert '"stopped": false' in text


def test_two_sessions_wait_their_turn_and_see_only_their_own(
    page: Any, browser: Any, live_url: str
) -> None:
    other = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    open_live(page, live_url)
    open_live(other, live_url)
    set_tokens(page, 400)
    ask(page, "Question of the first")
    until(page.locator("article").first)
    ask(other, "Question of the second")
    until(other.get_by_text("“Question of the second”").first)
    until(page.get_by_text("“Question of the first”").first)
    assert "Question of the second" not in page.inner_text("body")
    assert "Question of the first" not in other.inner_text("body")
    assert other.evaluate("document.documentElement.scrollWidth") <= 391
    other.context.close()


def test_a_closed_tab_frees_its_place_at_once(
    page: Any, browser: Any, live_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.fakes import fake_server, live_bundle, served_bundle, tiny_base

    with fake_server(["big", "small"], pause=0.5) as (server, _):
        made = live_bundle(tmp_path / "demo", tiny_base(tmp_path / ".base"))
        served = {"a": f"big at {server}", "b": f"small at {server}"}
        (tmp_path / "all").mkdir()
        served_bundle(tmp_path / "all" / "served", made, served)
        monkeypatch.setenv("PALM_SERVERS", server)
        script = ROOT / "app" / "main.py"
        with serve(script, "--portfolios", str(tmp_path / "all")) as (address, _):
            other = browser.new_context().new_page()
            for tab in (page, other):
                open_live(tab, f"{address}/generations")
                set_tokens(tab, 200)
            ask(other, "word " * 150)  # answered for more than a minute
            until(other.get_by_text("still answering", exact=False).first)
            ask(page, "Mine")
            until(page.get_by_text("In the queue", exact=False).first)
            began = time.monotonic()
            other.context.close()
            until(page.get_by_text("“Mine”", exact=False).first)
            assert time.monotonic() - began < 25, "while nobody knew, half a minute and more"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_live_view_breaks_no_accessibility_rule(
    page: Any, browser: Any, live_url: str, tmp_path: Path, theme: str
) -> None:
    from tests.support.browser_tools import (
        serious_violations,
        violations_of_bare_streamlit,
    )

    page.emulate_media(color_scheme=theme)
    open_live(page, live_url)
    ask(page, "Hello?")
    until(page.get_by_text("Best at your weights").first)
    theirs = violations_of_bare_streamlit(browser, tmp_path, theme) - {"color-contrast"}
    assert {
        rule: what for rule, what in serious_violations(page).items() if rule not in theirs
    } == {}
