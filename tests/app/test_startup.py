"""What is settled before a page is shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.pages import MAIN, ROOT, texts


def test_an_address_that_is_not_loopback_is_refused(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALM_PORTFOLIOS", str(bundles))
    monkeypatch.delenv("PALM_PUBLIC", raising=False)
    import streamlit as st

    monkeypatch.setattr(
        st, "get_option", lambda name: "0.0.0.0" if name == "server.address" else None
    )
    app = AppTest.from_file(MAIN, default_timeout=30).run()
    assert "reachable from the network" in texts(app)
    assert not app.title


def test_the_dashboard_starts_without_importing_torch(bundles: Path) -> None:
    code = (
        "import sys\nfrom streamlit.testing.v1 import AppTest\napp ="
        f" AppTest.from_file({str(MAIN)!r}, default_timeout=30).run()\nassert not app.exception and"
        " app.title\nprint(sorted(m for m in ('torch', 'transformers', 'sentence_transformers') if"
        " m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={**__import__("os").environ, "PALM_PORTFOLIOS": str(bundles), "PALM_PUBLIC": "1"},
    )
    assert done.stdout.strip() == "[]", done.stderr
