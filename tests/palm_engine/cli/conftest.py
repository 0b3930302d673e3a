"""`palm`, run in this process as a user would call it."""

from __future__ import annotations

import pytest

from palm_engine.cli import main as cli
from tests.support.command_line import Done, Palm


@pytest.fixture
def palm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Palm:
    def run(*words: object) -> Done:
        monkeypatch.setattr("sys.argv", ["palm", *map(str, words)])
        status = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        output = capsys.readouterr()
        # The console wraps long lines.
        return Done(status, output.out, " ".join(output.err.split()))

    return run
