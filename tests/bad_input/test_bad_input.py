"""Wrong tables, options, bundles, users and calls end in a sentence, never in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input import bundles, commands, tables
from tests.bad_input.case import Case, check, spread

AREAS = {
    "table": tables.CASES,
    "bundle": bundles.CASES,
    "users": commands.USERS,
    "command": commands.COMMANDS,
}


@pytest.mark.parametrize("case", spread(AREAS))
def test_what_is_wrong_is_said(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
