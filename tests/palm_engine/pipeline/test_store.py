"""Stage results are reused only while their inputs hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from palm_engine.pipeline.store import Store, key_of


def test_a_result_is_reused_only_for_the_same_key(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = []

    def make() -> pd.DataFrame:
        made.append(1)
        return pd.DataFrame({"x": [len(made)]})

    assert store.table("a/t.parquet", "k1", make)["x"][0] == 1
    assert store.table("a/t.parquet", "k1", make)["x"][0] == 1
    assert store.table("a/t.parquet", "k2", make)["x"][0] == 2
    for _ in range(2):
        assert store.table("a/t.parquet", "of my own, version 3", make)["x"][0] == 3
    assert not list(tmp_path.rglob("*.part"))


def test_keys_depend_on_every_value() -> None:
    assert key_of(1, {"a": np.arange(3)}) == key_of(1, {"a": np.arange(3)})
    assert key_of(1, {"a": np.arange(3)}) != key_of(1, {"a": np.arange(4)})
