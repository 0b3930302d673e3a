"""One way to open the dashboard on the small bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.pages import app_on, turn_to


@pytest.fixture
def open_app(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that opens a bundle by name, on a page by name."""

    def start(name: str = "demo", page: str | None = None) -> AppTest:
        app = app_on(bundles, monkeypatch)
        if name != "demo":
            app.selectbox(key="bundle").set_value(name).run()
        if page:
            turn_to(app, page)
        assert not app.exception, [e.value for e in app.exception]
        return app

    return start
