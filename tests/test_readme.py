"""What the README says is true.

Its table is the bundle's, its six lines run, its commands exist.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from palm_engine.analysis.account import markdown_table, summary
from palm_engine.bundle.folder import Bundle, read_bundle

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return read_bundle(ROOT / "portfolios" / "demo")


def test_the_table_of_candidates_is_the_bundles(demo: Bundle) -> None:
    assert markdown_table(demo) in README


def test_the_figures_are_the_certificates(demo: Bundle) -> None:
    assert summary(demo) in README


def test_the_quickstart_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    lines = [line for line in code.group(1).splitlines() if line.strip()]
    assert len(lines) <= 6
    exec(compile(code.group(1), "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([a-z-]+)`", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
