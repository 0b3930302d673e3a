"""Wrong builds, adapters and bases end in a sentence, never in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from tests.bad_input import adapters, configurations
from tests.bad_input.case import Case, check, spread


@pytest.mark.parametrize("case", spread({"build": configurations.CASES, "model": adapters.CASES}))
def test_what_is_wrong_is_said(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
