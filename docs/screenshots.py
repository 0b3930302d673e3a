"""Takes the pictures of the documentation anew: `python -m docs.screenshots` (a minute or two).

The demo in a real Chromium at 1440x900 and 390x844, every page; with the base model on this machine
also live answers. Look at each before it is committed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.browser_tools import ROOT, chromium, find_chromium, open_page, serve, until

OUT = ROOT / "docs" / "images"
TABLE = ROOT / "docs" / "examples" / "leaderboard.csv"
# What is added to a picture's name, and the size of the window.
SIZES = {"": {"width": 1440, "height": 900}, "-phone": {"width": 390, "height": 844}}
NAMES = {
    "": "explore",
    "find": "find",
    "tradeoff": "tradeoff",
    "coverage": "coverage",
    "generations": "generations",
    "plan": "plan",
    "guarantee": "guarantee",
    "data": "data",
}


def take(page: Any, url: str, suffix: str) -> None:
    """A picture of every page."""
    for path, name in NAMES.items():
        open_page(page, url, path)
        if path == "data":
            page.locator("input[type=file]").first.set_input_files(TABLE)
            until(page.get_by_text("Win Rate", exact=False).first)
            page.wait_for_timeout(1500)
        page.mouse.move(5, 450)
        page.screenshot(path=OUT / f"{name}{suffix}.png")
        print(f"Wrote {name}{suffix}.png")


def take_live(page: Any, url: str, suffix: str) -> None:
    """A picture of live answers."""
    open_page(page, url, "generations")
    page.get_by_role("radio", name="Live").click()
    prompt = page.get_by_label("Your prompt")
    if not suffix:
        button = page.get_by_role("button", name="Load the model")
        until(button)
        button.click()
    until(prompt)
    prompt.fill("Is it safe to swim right after lunch?")
    page.get_by_role("button", name="Ask").click()
    until(page.get_by_text("Best at your weights", exact=False).first)
    page.get_by_text("Best at your weights", exact=False).first.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    page.screenshot(path=OUT / f"live{suffix}.png")
    print(f"Wrote live{suffix}.png")


def main() -> None:
    """All pictures.

    Raises:
        SystemExit: there is no browser.
    """
    path = find_chromium()
    if path is None:
        raise SystemExit("no Chromium was found; name one in PALM_CHROMIUM")
    with serve(Path(ROOT / "app" / "main.py")) as (url, _), chromium(path) as browser:
        for suffix, size in SIZES.items():
            page = browser.new_page(viewport=size)
            take(page, url, suffix)
            take_live(page, url, suffix)


if __name__ == "__main__":
    main()
