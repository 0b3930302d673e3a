"""Text of others is text on a terminal: no markup, no control characters."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.bundle.writing import rewrite_manifest
from palm_engine.cli.console import PlainConsole, printable
from tests.bad_input.case import run
from tests.support.bundles import make_bundle

NASTY = "\x1b[31mred\x1b]8;;http://evil\x07 [bold]x[/bold] [/x] :smile: \r\x9b2J"


@given(st.text())
def test_what_is_printable_drives_nothing(text: str) -> None:
    shown = printable(text)
    assert not [c for c in shown if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0]
    assert printable(shown) == shown


def test_markup_and_escapes_are_shown_as_they_are() -> None:
    stream = io.StringIO()
    with redirect_stdout(stream):
        console = PlainConsole()
        console.print(NASTY)
        table = Table(title=NASTY)
        table.add_column(NASTY)
        table.add_row(NASTY)
        console.print(table)
    shown = stream.getvalue()
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert shown.count("[bold]") >= 1
    assert ":smile:" in shown


@pytest.fixture
def nasty(tmp_path: Path) -> Bundle:
    bundle = make_bundle(tmp_path / "demo")
    candidates = tuple(
        c.model_copy(update={"role": NASTY, "display_name": NASTY[:80], "warning": NASTY})
        for c in bundle.manifest.candidates
    )
    changed = {"candidates": candidates, "title": NASTY}
    return rewrite_manifest(bundle, bundle.manifest.model_copy(update=changed))


@pytest.mark.parametrize(
    "words",
    [
        ("show",),
        ("show", "--markdown"),
        ("answers", "m1"),
        ("route", "--weights", "safety=1"),
        ("account",),
    ],
)
def test_commands_show_a_bundles_text_as_text(nasty: Bundle, words: tuple[str, ...]) -> None:
    found = run([words[0], nasty.folder, *words[1:]])
    assert not found.traceback, found.traceback
    assert found.status == 0
    assert "\x1b" not in found.out
    assert "\x9b" not in found.out
    assert read_bundle(nasty.folder).manifest.title == NASTY


def test_an_output_that_takes_nothing_is_a_sentence(nasty: Bundle) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "palm_engine.cli.main", "show", str(nasty.folder)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[3],
            check=False,
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2
