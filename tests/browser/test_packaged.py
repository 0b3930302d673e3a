"""The wheel holds the dashboard: `palm app` opens it from any folder, as the clone does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from palm_engine.cli.dashboard import bundles_folder, command_line, dashboard_home
from tests.support.browser_tools import ROOT, free_port, open_panel, picked, until_served

pytestmark = pytest.mark.browser
RUN = "import sys; from palm_engine.cli.main import main; sys.argv[0] = 'palm'; main()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that holds the wheel built from this clone, and nothing else of it."""
    folder = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source") / "clone"
    # A copy, so that the build leaves nothing in the clone.
    names = subprocess.run(
        [
            "git",
            "ls-files",
            "-zco",
            "--exclude-standard",
            "--",
            ".",
            ":!portfolios/*/adapters",
            ":!docs",
            ":!tests",
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    wheel = next(folder.glob("*.whl"))
    target = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return target


@pytest.fixture
def opened(installed: Path, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    environment = os.environ | {
        "PYTHONPATH": str(installed),
        "STREAMLIT_SERVER_HEADLESS": "true",
    }
    environment.pop("PALM_PORTFOLIOS", None)
    server = subprocess.Popen(
        [sys.executable, "-c", RUN, "app", "--port", str(port)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield until_served(port, server)
    finally:
        os.killpg(server.pid, 15)
        server.wait(10)


def test_palm_app_opens_the_demo_from_an_empty_folder(page: Any, opened: str) -> None:
    open_panel(page, opened)
    assert len(picked(page)) == 2
    assert "portfolio=demo" in page.url


def test_the_folder_of_bundles_is_the_nearest_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PALM_PORTFOLIOS", raising=False)
    home = dashboard_home()
    assert home == ROOT
    assert bundles_folder(None, home) == ROOT / "portfolios"
    (tmp_path / "portfolios").mkdir()
    assert bundles_folder(None, home) == tmp_path / "portfolios"
    monkeypatch.setenv("PALM_PORTFOLIOS", str(tmp_path / "elsewhere"))
    assert bundles_folder(None, home) == tmp_path / "elsewhere"
    assert bundles_folder(tmp_path / "named", home) == tmp_path / "named"
    words = command_line(home, tmp_path, 8600)
    assert words[-2:] == ["--portfolios", str(tmp_path)]
    assert words[words.index("--server.port") + 1] == "8600"
