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


def test_what_is_made_anew_is_said_with_the_reason(tmp_path: Path) -> None:
    store = Store(tmp_path)
    said: list[str] = []
    store.say(said.append)
    assert said == []
    for i in range(6):
        store.put_json(f"{i}.json", "old", i)
    assert not store.is_current("never-there.json", "k")
    assert all(store.is_current(f"{i}.json", "old") for i in range(6))
    assert not any(store.is_current(f"{i}.json", "new") for i in range(6))
    store.say(said.append)
    assert said == [
        "Made anew, as what it depends on has changed: 0.json, 1.json, 2.json, 3.json and 2 more"
    ]
    store.say(said.append)
    assert len(said) == 1
    (tmp_path / "0.json").write_text("7")
    assert not store.is_current("0.json", "old")
    store.say(said.append)
    assert said[1] == "Made anew, as it isn't whole: 0.json"


def test_a_mark_without_a_checksum_says_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_json("a.json", "key", 1)
    mark = tmp_path / "a.json.key"
    mark.write_text("key")  # cut off by whatever
    assert not store.is_current("a.json", "key")
