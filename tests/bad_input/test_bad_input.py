"""Wrong tables, options and bundles end in a sentence, never in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input import bundles, tables
from tests.bad_input.case import Case, check, spread


@pytest.mark.parametrize("case", spread({"table": tables.CASES, "bundle": bundles.CASES}))
def test_what_is_wrong_is_said(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
