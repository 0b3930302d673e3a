"""Tables of one's own: from a file to the dashboard, the largest of 160,000 rows and 200 MB.

Each is imported by `palm import` in a process of its own; the large one is then opened in the
browser. The reference is pandas reading the same file and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from tests.support.browser_tools import chromium, find_chromium, open_page, serve

ROOT = Path(__file__).resolve().parents[1]
MAIN = ROOT / "app" / "main.py"
MODELS = 200
PROMPTS = 800
WORDS = [
    "the",
    "model",
    "answers",
    "with",
    "care",
    "and",
    "humor",
    "while",
    "users",
    "wait",
    "for",
    "details",
]
# Prints seconds and peak memory in MB of a command in this process.
MEASURED = """
import resource, sys, time
from palm_engine.cli.main import main
started = time.perf_counter()
try:
    main()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"MEASURED {time.perf_counter() - started} {peak}", file=sys.stderr)
"""
EXPLORED = ("", "tradeoff", "coverage", "generations", "guarantee")


def answers_of_models(path: Path) -> None:
    """200 models, 800 prompts, three scores and a text of some 1,300 letters for each pair."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 235)) for _ in range(3000)]
    pairs = MODELS * PROMPTS
    skill = np.repeat(rng.random((MODELS, 3)), PROMPTS, axis=0)
    scores = np.clip(skill + rng.normal(0, 0.15, (pairs, 3)), 0, 1).round(4)
    pd.DataFrame(
        {
            "model": np.repeat([f"org/model-{i}" for i in range(MODELS)], PROMPTS),
            "prompt": np.tile([f"q{i}" for i in range(PROMPTS)], MODELS),
            "helpful": scores[:, 0],
            "honest": scores[:, 1],
            "short": scores[:, 2],
            "answer": [f"{texts[i]} {n}" for n, i in enumerate(rng.integers(0, 3000, pairs))],
        }
    ).to_csv(path, index=False)


def leaderboard(path: Path) -> None:
    """200 models with win rate, length and price, as a page shows them."""
    rng = np.random.default_rng(1)
    pd.DataFrame(
        {
            "Model": [f"org/model {i}" for i in range(MODELS)],
            "Win Rate": [f"{x:.1f}%" for x in rng.uniform(5, 95, MODELS)],
            "avg_length": [f"{int(x):,}" for x in rng.uniform(300, 4000, MODELS)],
            "price per 1M": rng.uniform(0.1, 15, MODELS).round(2),
        }
    ).to_csv(path, index=False)


def scenarios(path: Path) -> None:
    """Ten columns in the shape of HELM's tables; the user takes three."""
    rng = np.random.default_rng(2)
    columns = [f"scenario {i}" for i in range(10)]
    frame = pd.DataFrame(rng.random((100, 10)).round(3), columns=columns)
    frame.insert(0, "model", [f"org/model-{i}" for i in range(100)])
    frame.to_csv(path, index=False)


def judged(path: Path) -> None:
    """Scores of a judge from 1 to 10: 20 models, 200 prompts."""
    rng = np.random.default_rng(3)
    rows = 20 * 200
    pd.DataFrame(
        {
            "model": np.repeat([f"m{i}" for i in range(20)], 200),
            "question_id": np.tile(np.arange(200), 20),
            "helpful": rng.integers(1, 11, rows),
            "harmless": rng.integers(1, 11, rows),
        }
    ).to_csv(path, index=False)


def imported(table: Path, out: Path, *options: str) -> tuple[float, float]:
    """Seconds and peak MB of `palm import`, its start included in neither."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "import", str(table), "--out", str(out), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (out / "portfolio.json").is_file(), done.stdout + done.stderr
    line = next(x for x in done.stderr.splitlines() if x.startswith("MEASURED"))
    seconds, peak = map(float, line.split()[1:])
    return seconds, peak


def rows() -> list[tuple[str, str, str]]:
    """Import of four kinds of tables, and the large one on five pages."""
    found: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        portfolios = folder / "portfolios"
        portfolios.mkdir()
        for write, kind, options in (
            (leaderboard, "leaderboard of 200 models", ()),
            (scenarios, "wide table, 3 of 10 columns", tuple(_three())),
            (judged, "judge's scores, 1 to 10, 4,000 rows", ()),
        ):
            table = folder / "table.csv"
            write(table)
            seconds, _ = imported(table, portfolios / write.__name__, *options)
            found.append((f"{kind}: imported, members chosen", f"{seconds:.1f} s", ""))
        table = folder / "answers.csv"
        answers_of_models(table)
        started = time.perf_counter()
        pd.read_csv(table)
        alone = time.perf_counter() - started
        seconds, peak = imported(table, portfolios / "large")
        size = table.stat().st_size / 1e6
        found.append(
            (
                f"{MODELS} models x {PROMPTS} prompts with texts ({size:.0f} MB): imported,"
                " members chosen and certified (goal 120 s)",
                f"{seconds:.0f} s, {peak:.0f} MB at most",
                f"pandas reads the file in {alone:.1f} s",
            )
        )
        found += [_explored(portfolios), _dropped(table, folder / "dropped")]
    return found


def _three() -> list[str]:
    return [word for i in (2, 5, 7) for word in ("--trait", f"scenario {i}")]


def _explored(portfolios: Path) -> tuple[str, str, str]:
    path = find_chromium()
    if path is None:
        return ("the large table in a browser", "not run: no chromium", "")
    with (
        chromium(path) as browser,
        serve(MAIN, "--portfolios", str(portfolios)) as (address, _),
    ):
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(120_000)
        times = []
        for one in EXPLORED:
            started = time.perf_counter()
            open_page(page, address, f"{one}?portfolio=large" if one else "?portfolio=large")
            times.append(time.perf_counter() - started)
    parts = ", ".join(
        f"{one or 'explore'} {seconds:.1f}" for one, seconds in zip(EXPLORED, times, strict=True)
    )
    return (
        "the same in a browser, seconds until each page stands still (goal 10 for the first)",
        parts,
        "",
    )


def _dropped(table: Path, portfolios: Path) -> tuple[str, str, str]:
    """The large table on the Data page: dropped, looked at, made a bundle."""
    path = find_chromium()
    if path is None:
        return ("the large table dropped on Data", "not run: no chromium", "")
    portfolios.mkdir()
    with (
        chromium(path) as browser,
        serve(MAIN, "--portfolios", str(portfolios)) as (address, server),
    ):
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(300_000)
        open_page(page, address, "data")
        before = peak_megabytes(server.pid)
        started = time.perf_counter()
        page.set_input_files("input[type=file]", str(table))
        page.get_by_text(f"{MODELS * PROMPTS:,} rows").wait_for()
        shown = time.perf_counter() - started
        page.get_by_role("button", name="Make the bundle").click()
        page.get_by_text("What matters to you?").wait_for()
        made = time.perf_counter() - started
        peak = peak_megabytes(server.pid)
    size = table.stat().st_size / 1e6
    return (
        f"the same {size:.0f} MB dropped on the Data page: columns shown; bundle made and opened",
        f"{shown:.0f} s; {made:.0f} s; server {before:.0f} MB before, {peak:.0f} MB at most",
        "",
    )


def peak_megabytes(pid: int) -> float:
    """The most memory that a process has had, in MB (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")
