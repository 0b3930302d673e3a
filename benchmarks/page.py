"""The dashboard in a real headless Chromium, beside a bare Streamlit page with the same sliders in
the same run.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from palm_engine.bundle.folder import read_bundle
from palm_engine.bundle.manifest import Manifest
from palm_engine.bundle.writing import write_bundle

ROOT = Path(__file__).resolve().parents[1]
from tests.support.browser_tools import (  # noqa: E402
    PAGES,
    chromium,
    drag,
    find_chromium,
    open_page,
    open_panel,
    serious_violations,
    serve,
    violations_of_bare_streamlit,
)

REPEATS = 20
BARE = """import streamlit as st
st.title('bare')
values = [st.slider(trait, 0, 100, 50) for trait in ('safety', 'humor', 'brevity')]
st.metric('sum', sum(values))
"""
# Notes when the server's last message came. A text that only the server writes may stay the same.
LISTEN = """(() => {
  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", () => { window.__heard = performance.now(); });
    }
  };
})()"""
# Milliseconds from now (a key is pressed next) to the server's last message or the last change of
# the page outside the browser's own component (its shadow root isn't watched), whichever is later,
# once the server has answered and neither happened for 150 ms.
WATCH = """() => { window.__done = new Promise((done) => {
  const begun = performance.now();
  let last = begun;
  const seen = new MutationObserver(() => { last = performance.now(); });
  seen.observe(document.querySelector("[data-testid=stMain]"),
    { subtree: true, childList: true, characterData: true, attributes: true });
  const look = () => setTimeout(() => {
    const heard = window.__heard ?? 0;
    if (heard < begun || performance.now() - Math.max(last, heard) < 150) return look();
    seen.disconnect();
    done(Math.max(last, heard) - begun);
  }, 10);
  look();
}); }"""
# Each count has frames of its own: one that wasn't over when the next began would count twice.
FRAMES = """() => { const frames = window.__frames = []; const tick = (now) => {
  if (window.__frames !== frames) return;
  frames.push(now); requestAnimationFrame(tick); }; requestAnimationFrame(tick); }"""
COUNTED = "() => { const counted = window.__frames; window.__frames = null; return counted; }"


def big_bundle(folder: Path, candidates: int = 1000, prompts: int = 1000) -> None:
    """A bundle of 1,000 candidates on a sphere and 1,000 prompts, every pair with an answer and its
    scores.
    """
    draws = np.random.default_rng(0)
    points = np.abs(draws.normal(size=(candidates, 3)))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).round(4)
    traits = ["safety", "humor", "brevity"]
    entries = [
        {
            "policy": f"c{i}",
            "kind": "adapter",
            "rewards": dict(zip(traits, map(float, p), strict=True)),
            "weights": dict(zip(traits, map(float, p / p.sum()), strict=True)),
        }
        for i, p in enumerate(points)
    ]
    manifest = Manifest.model_validate(
        {
            "name": folder.name,
            "candidates": entries,
            "traits": [{"name": t, "reward": t, "normalisation": "none"} for t in traits],
            "members": [{"policy": e["policy"], "weights": e["weights"]} for e in entries[:5]],
        }
    )
    ids = [f"p{i}" for i in range(prompts)]
    table = pd.DataFrame(
        {
            "prompt_id": ids,
            "split": "certify",
            "text": [f"What about matter {i}?" for i in range(prompts)],
        }
    )
    pairs = candidates * prompts
    samples = pd.DataFrame(
        {
            "policy": pd.Categorical(np.repeat([e["policy"] for e in entries], prompts)),
            "prompt_id": pd.Categorical(np.tile(ids, candidates)),
            "sample_id": 0,
            "tokens": 8,
            "text": [f"What {i // prompts} says of matter {i % prompts}." for i in range(pairs)],
        }
    )
    for column, trait in enumerate(traits):
        samples[trait] = np.clip(
            np.repeat(points[:, column], prompts) + draws.normal(0, 0.1, pairs), 0, 1
        )
    write_bundle(folder, manifest, {"prompts": table, "samples": samples})


def press_to_repaint(page: Any, focus: Callable[[], Any]) -> float:
    """Median milliseconds from an arrow key to the last change of the server's repaint."""
    times = []
    for i in range(REPEATS + 3):
        focus()
        page.wait_for_timeout(250)
        page.evaluate(WATCH)
        page.keyboard.press("ArrowRight" if i % 2 else "ArrowLeft")
        times.append(float(page.evaluate("() => window.__done")))
    return statistics.median(times[3:])


def first_paint(browser: Any, script: Path, repeats: int = REPEATS) -> float:
    """Median seconds from starting the server to the first heading on screen."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        with serve(script) as (address, _):
            page = browser.new_page()
            page.goto(address)
            page.get_by_role("heading", level=1).wait_for()
            times.append(time.perf_counter() - started)
            page.close()
    return statistics.median(times)


def frames_a_second(page: Any) -> float:
    """Median frames a second over REPEATS drags of half a second each."""
    rates = []
    for _ in range(REPEATS):
        page.evaluate(FRAMES)
        for _ in drag(page, 30):
            page.wait_for_timeout(12)
        times = page.evaluate(COUNTED)
        rates.append(1000 * (len(times) - 1) / (times[-1] - times[0]))
    return float(statistics.median(rates))


def switch_seconds(page: Any, address: str) -> float:
    """Median seconds from clicking a page's link to its heading, Coverage and Generations."""
    times = []
    page.goto(address)
    for i in range(REPEATS):
        name, heading = (
            ("Coverage", "Who is served how well?"),
            ("Generations", "What do they answer?"),
        )[i % 2]
        page.wait_for_timeout(400)
        started = time.perf_counter()
        page.get_by_role("link", name=name).first.click()
        page.get_by_role("heading", name=heading).wait_for()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def resident_megabytes(pid: int) -> float:
    """Memory of the process in MB (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def rows() -> list[tuple[str, str, str]]:
    """The claims about the page, where a Chromium is there."""
    path = find_chromium()
    if path is None:
        return [("the dashboard in a browser", "not run: no chromium", "")]
    found: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as name, chromium(path) as browser:
        folder = Path(name)
        bare = folder / "bare.py"
        main = ROOT / "app" / "main.py"
        bare.write_text(BARE)
        shutil.copytree(
            ROOT / "portfolios" / "demo", folder / "demo", ignore=shutil.ignore_patterns("adapters")
        )
        big_bundle(folder / "large")
        started = time.perf_counter()
        large = read_bundle(folder / "large")
        assert len(large.points) == 1000
        assert len(large.answers("p0", ["c0"])) == 1
        opened = time.perf_counter() - started

        cold_bare = first_paint(browser, bare)
        cold = first_paint(browser, main)
        found.append(
            (
                f"server start to first heading (median of {REPEATS}; goal 3 s)",
                f"{cold:.2f} s",
                f"a bare page, {cold_bare:.2f} s",
            )
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(LISTEN)
        with serve(bare) as (address, _):
            page.goto(address)
            slider = page.get_by_role("slider").first
            slider.wait_for()
            reference = press_to_repaint(page, slider.focus)
        with serve(main, "--portfolios", name) as (address, server):
            open_panel(page, address)
            page.wait_for_timeout(1500)
            fps = frames_a_second(page)
            found.append(
                (
                    (
                        f"frames a second while the puck is dragged (median of {REPEATS} drags;"
                        " goal 55)"
                    ),
                    f"{fps:.0f}",
                    "",
                )
            )
            theirs = violations_of_bare_streamlit(browser, folder)
            ours: dict[str, str] = {}
            for one in PAGES:
                open_page(page, address, one)
                ours |= serious_violations(page)
            beyond = len(set(ours) - theirs)
            found.append(
                (
                    (
                        f"serious or critical violations of axe-core on {len(PAGES)} pages (goal 0"
                        " beyond Streamlit's own)"
                    ),
                    f"{beyond} beyond",
                    f"Streamlit's own widgets: {len(theirs)}",
                )
            )
            for bundle in ("demo", "large"):
                started = time.perf_counter()
                open_panel(page, f"{address}/?portfolio={bundle}")
                seconds = time.perf_counter() - started
                page.wait_for_timeout(2000)
                slider = page.get_by_role("slider", name="brevity", exact=True)
                explore = press_to_repaint(page, slider.focus)
                page.get_by_role("link", name="Coverage").first.click()
                page.get_by_role("heading", name="Who is served").wait_for()
                page.wait_for_timeout(1500)
                puck = page.locator("svg.map .puck")
                covered = press_to_repaint(page, puck.focus)
                sentence = f"a bare page with three sliders, {reference:.0f} ms"
                found.append(
                    (
                        f"key press to the server's repaint, Explore, {bundle} (goal 1.5x)",
                        f"{explore / reference:.2f}x ({explore:.0f} ms)",
                        sentence,
                    )
                )
                found.append(
                    (
                        f"key press to the server's repaint, Coverage, {bundle} (goal 3x)",
                        f"{covered / reference:.2f}x ({covered:.0f} ms)",
                        sentence,
                    )
                )
                if bundle == "demo":
                    switch = switch_seconds(page, f"{address}/?portfolio=demo")
                    found.append(
                        (f"page switch (median of {REPEATS}; goal 1 s)", f"{switch:.2f} s", "")
                    )
                    memory = resident_megabytes(server.pid)
                    found.append(
                        (
                            "server's memory with the demo open, all above done (goal 350 MB)",
                            f"{memory:.0f} MB",
                            "",
                        )
                    )
        found.append(
            (
                (
                    "1,000 candidates x 1,000 prompts: read with all answers; Explore in the"
                    " browser (goal 5 s)"
                ),
                f"{opened:.1f} s; {seconds:.1f} s",
                "",
            )
        )
    return found
