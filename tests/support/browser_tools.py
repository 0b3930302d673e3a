"""A real Chromium and a real server, for browser tests and for `make bench`."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
NAMES = ("chromium", "chromium-browser", "google-chrome")
PAGES = {
    "": "Which model answers you?",
    "find": "Find my model",
    "tradeoff": "How many members are enough?",
    "coverage": "Who is served how well?",
    "generations": "What do they answer?",
    "plan": "What should be trained?",
    "guarantee": "What is guaranteed?",
    "data": "Which of your models are enough?",
}

# Of every widget that our pages use one, as Streamlit makes it.
BARE = """import streamlit as st
st.set_page_config(page_title="bare", layout="wide")
st.navigation([st.Page(lambda: None, title="One", url_path="one"),
               st.Page(lambda: None, title="Two", url_path="two")],
              position="top")
st.selectbox("a", ["b", "c"])
st.title("bare")
st.caption("small")
st.segmented_control("s", ["x", "y"], default="x")
st.pills("p", ["x", "y"])
st.slider("t", 0, 10)
st.metric("m", 1)
st.dataframe({"n": [1, 2]})
st.plotly_chart({"data": [{"x": [1, 2], "y": [1, 2]}]})
with st.popover("more"):
    st.text("t")
with st.expander("e"):
    st.text("t")
st.toggle("g")
st.text_input("i")
st.number_input("n", 0, 5)
st.file_uploader("f")
"""


def find_chromium() -> str | None:
    """Path of a Chromium: named by PALM_CHROMIUM, or found on the path."""
    found = os.environ.get("PALM_CHROMIUM") or next(
        (p for n in NAMES if (p := shutil.which(n))), None
    )
    return found if found is not None and Path(found).exists() else None


@contextmanager
def chromium(path: str) -> Iterator[Any]:
    """A running browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def until_served(port: int, server: subprocess.Popen[bytes]) -> str:
    """Wait until the dashboard on a port answers; its address."""
    url = f"http://localhost:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
            return url
        except OSError:
            assert server.poll() is None, "the dashboard ended"
            time.sleep(0.1)
    raise AssertionError("the dashboard doesn't answer")


@contextmanager
def serve(
    script: Path, *arguments: str, log: Path | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Streamlit server of `script` on a free port, from when it answers.

    Its address and process. What it says goes into `log`, where one is given.
    """
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    command += ["--server.headless", "true", "--server.address", "localhost", "--", *arguments]
    with started(command, port, log) as found:
        yield found


@contextmanager
def started(
    command: list[str], port: int, log: Path | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A command that serves the dashboard on a port, from when it answers.

    Its address and process. What it says goes into `log`, where one is given.
    """
    with open(os.devnull if log is None else log, "wb") as said:
        server = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        try:
            yield until_served(port, server), server
        finally:
            server.terminate()
            server.wait(10)


SOON = 20_000  # what the browser does by itself, on a busy machine
PATIENCE = 12
STEP = 10_000
BUSY = """() => {
    const app = document.querySelector("[data-testid=stApp]");
    if (!app) return "loading " + document.readyState;
    const state = app.dataset.testScriptState;
    const bars = [...document.querySelectorAll("[role=progressbar]")];
    return state + bars.map((bar) => bar.ariaValueNow ?? bar.getAttribute("aria-valuenow"));
}"""


def until(locator: Any, state: str = "visible") -> None:
    """Wait for a locator as long as its page makes progress, however busy the machine is.

    What fails is a page that is idle, or shows the same progress, for PATIENCE steps.
    """
    from playwright.sync_api import TimeoutError as Late

    page = locator.page
    still = 0
    before = None
    while True:
        try:
            locator.wait_for(state=state, timeout=STEP)
            return
        except Late:
            now = page.evaluate(BUSY)
            still = still + 1 if now == before or now.startswith("notRunning") else 0
            before = now
            if still >= PATIENCE or (still >= 3 and now.startswith("notRunning")):
                raise


def wait_for(page: Any, text: str) -> None:
    """Until `text` is somewhere on the page."""
    until(page.get_by_text(text, exact=False).first)


def settle(page: Any) -> None:
    """Until no run of the script is under way."""
    until(page.locator("[data-testid=stApp][data-test-script-state=notRunning]"))


def download(page: Any) -> Any:
    """`with download(page) as started: click`, once no run replaces what the click would send."""
    settle(page)
    return page.expect_download()


def open_panel(page: Any, address: str) -> None:
    """Open an address whose page holds the live panel with its numbers, and wait for it."""
    page.goto(address)
    until(page.locator("[data-part=picked]"))


def open_page(page: Any, url: str, path: str) -> None:
    """Open one of PAGES and wait until work beside it, where there is some, is done."""
    page.goto(f"{url}/{path}")
    until(page.get_by_role("heading", name=PAGES[path.partition("?")[0]]))
    before = -1
    # Between two runs of the script a page looks finished: until nothing more comes.
    while before != (now := page.evaluate("document.querySelectorAll('*').length")):
        before = now
        settle(page)
        until(page.get_by_role("button", name="Cancel"), "detached")
        settle(page)
        until(page.locator("[data-testid=stSkeleton]").first, "detached")  # charts come last
        page.wait_for_timeout(200)


def picked(page: Any) -> list[str]:
    """Name of the picked member and its gap, as the panel shows them."""
    # The gap may be folded away: then it has a text, but none that is shown.
    return [page.locator(f"[data-part={part}]").text_content() for part in ("picked", "gap")]


def another_is_picked(page: Any, before: list[str]) -> list[str]:
    """Until another member than before is picked: its name and gap."""
    from playwright.sync_api import expect

    expect(page.locator("[data-part=picked]")).not_to_have_text(before[0], timeout=SOON)
    return picked(page)


def your_weights(page: Any) -> str:
    """The panel's sentence of the weights, in percent."""
    sentence: str = page.get_by_text("Your weights: ").inner_text()
    return sentence


def weights_become(page: Any, words: str | re.Pattern[str]) -> None:
    """Until the panel's sentence of the weights holds these words."""
    from playwright.sync_api import expect

    expect(page.get_by_text("Your weights: ")).to_contain_text(words, timeout=SOON)


def asked_until_found(page: Any, answer: Callable[[int], None]) -> None:
    """Answer the questions of Find, each once it is there, until a member is found."""
    for number in range(1, 30):
        question = page.get_by_text(f"Question {number}:")
        found = page.locator("[data-part=found]")
        until(question.or_(found).first)
        settle(page)
        if found.count():
            return
        answer(number)
        until(question, "detached")
    raise AssertionError("no member was found")


def unfold(page: Any, summary: str) -> None:
    """Open what is folded below a summary."""
    page.locator("summary", has_text=summary).click()


def drag(page: Any, steps: int) -> Iterator[int]:
    """Drag the puck across several regions of the map; yields after each step."""
    box = page.locator("svg.map").bounding_box()
    x = box["x"] + box["width"] / 2
    y = box["y"] + 0.6 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    for i in range(1, steps + 1):
        page.mouse.move(
            x - 0.2 * box["width"] * i / steps, y + 0.3 * box["height"] * (i / steps - 0.5)
        )
        yield i
    page.mouse.up()


def serious_violations(page: Any) -> dict[str, str]:
    """Rules of axe-core that the page breaks with impact serious or critical.

    Rule to what and where.
    """
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return {
        v["id"]: f"{v['help']}: {[n['target'] for n in v['nodes']][:3]}"
        for v in found
        if v["impact"] in ("serious", "critical")
    }


def violations_of_bare_streamlit(browser: Any, folder: Path, theme: str = "light") -> set[str]:
    """The rules that a page of Streamlit's own widgets breaks: what we can't mend."""
    script = folder / "bare.py"
    script.write_text(BARE)
    with serve(script) as (address, _):
        page = browser.new_page()
        page.emulate_media(color_scheme=theme)
        page.goto(address)
        until(page.get_by_role("heading", name="bare"))
        page.wait_for_timeout(1500)
        found = set(serious_violations(page))
        page.close()
    return found
