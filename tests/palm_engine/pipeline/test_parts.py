"""What a server has answered is kept part by part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from palm_engine.pipeline import parts
from palm_engine.pipeline.parts import Asked, kept_in_parts, rows_of
from palm_engine.pipeline.store import Store


def test_a_failure_costs_the_part_in_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", 4)
    rows = rows_of((("p", "P?"), ("q", "Q?")), 5)
    assert rows[5] == ("q", "Q?", 0)
    asked: list[int] = []

    def ask(some: Sequence[Asked]) -> pd.DataFrame:
        asked.append(len(some))
        if len(asked) == 3:
            raise RuntimeError("the server is gone")
        return pd.DataFrame({"text": [f"{pid}{i}" for pid, _, i in some]})

    with pytest.raises(RuntimeError):
        kept_in_parts("draws/a.parquet", "k", rows, Store(tmp_path), ask)
    there: list[float] = []
    found = kept_in_parts("draws/a.parquet", "k", rows, Store(tmp_path), ask, there.append)
    assert asked == [4, 4, 2, 2]
    assert sum(there) == 8
    assert list(found["text"]) == [f"{pid}{i}" for pid, _, i in rows]
    assert sorted(p.name for p in (tmp_path / "draws").iterdir()) == ["a.parquet", "a.parquet.key"]
    kept_in_parts("draws/a.parquet", "k", rows, Store(tmp_path), ask)
    assert len(asked) == 4
    kept_in_parts("draws/a.parquet", "other", rows, Store(tmp_path), ask)
    assert len(asked) == 7
