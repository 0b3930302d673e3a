"""One browser and one server for all browser tests.

Skipped, saying so, where there is no Chromium.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser_tools import ROOT, chromium, find_chromium, serve


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    found = find_chromium()
    if found is None:
        if os.environ.get("PALM_REQUIRE_BROWSER") == "1":
            pytest.fail("no Chromium was found and PALM_REQUIRE_BROWSER is set")
        pytest.skip(
            "browser tests skipped: no Chromium found (install it, or name one with PALM_CHROMIUM)"
        )
    with chromium(found) as running:
        yield running


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def served(bundles: Path) -> Iterator[tuple[str, Any]]:
    with serve(ROOT / "app" / "main.py", "--portfolios", str(bundles)) as running:
        yield running


@pytest.fixture
def url(served: tuple[str, Any]) -> str:
    return served[0]


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard on the demo that is shipped; nothing that tests did to it was an error."""
    log = tmp_path_factory.mktemp("shipped") / "server.log"
    with serve(
        ROOT / "app" / "main.py", "--portfolios", str(ROOT / "portfolios"), log=log
    ) as running:
        yield running[0]
    said = log.read_text(errors="replace")
    assert "Traceback" not in said, said[-4000:]


@pytest.fixture
def server(served: tuple[str, Any]) -> Any:
    return served[1]
