"""How fast the dashboard's first page is painted in a real headless Chromium, beside a bare Streamlit page."""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BARE = "import streamlit as st\nst.title('bare')\nst.slider('x', 0, 100)\nst.metric('y', 1)\n"


def first_paint(script: Path, repeats: int = 3) -> float:
    """Median seconds from starting the server to the first heading on screen."""
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        for _ in range(repeats):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            started = time.perf_counter()
            command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
            server = subprocess.Popen(
                [*command, "--server.headless", "true", "--server.address", "localhost"],
                cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                _wait(f"http://localhost:{port}/_stcore/health")
                page = browser.new_page()
                page.goto(f"http://localhost:{port}")
                page.get_by_role("heading", level=1).wait_for()
                times.append(time.perf_counter() - started)
                page.close()
            finally:
                server.terminate()
                server.wait(10)
        browser.close()
    return statistics.median(times)


def _wait(url: str) -> None:
    for _ in range(400):
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except OSError:
            time.sleep(0.05)


def rows() -> list[tuple[str, str, str]]:
    """The claim, when a Chromium is there."""
    if shutil.which("chromium") is None:
        return [("first paint of Explore, from starting the server", "not run: no chromium", "")]
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        reference = first_paint(bare)
    ours = first_paint(ROOT / "app" / "main.py")
    return [
        (
            "first paint of Explore, from starting the server (median of 3)",
            f"{ours:.1f} s, {ours / reference:.1f}x the bare page",
            f"a bare Streamlit page with a slider and a metric ({reference:.1f} s)",
        )
    ]
