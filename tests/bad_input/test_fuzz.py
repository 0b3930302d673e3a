"""Mutated files end in the project's own errors; `make fuzz` tries many more."""

from __future__ import annotations

from pathlib import Path

from tests.bad_input.fuzz import fuzz

COUNT = 1000


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    *_, tally = fuzz(7, lambda n: n >= COUNT, tmp_path)
    assert tally.failed == []
    assert tally.count == COUNT
    # Mutations that are all refused, or all harmless, would test nothing.
    assert len(tally.accepted) == len(tally.refused) == 5
