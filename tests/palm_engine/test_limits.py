"""Limits on what comes from outside are settings of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from palm_engine import _limits
from palm_engine._json import read_json
from palm_engine.errors import BundleError, InvalidInputError
from palm_engine.tables.files import read_table_file
from palm_engine.tables.read import read_reward_table

LIMITS = {
    "PALM_MOST_BYTES": _limits.most_bytes,
    "PALM_MOST_CELLS": _limits.most_cells,
    "PALM_MOST_COLUMNS": _limits.most_columns,
    "PALM_MOST_JSON": _limits.most_json,
    "PALM_MOST_POLICIES": _limits.most_policies,
    "PALM_MOST_PROMPTS": _limits.most_prompts,
    "PALM_MOST_TEXT": _limits.most_text,
    "PALM_MOST_USERS": _limits.most_users,
}


@pytest.mark.parametrize("name", LIMITS)
def test_each_is_read_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = LIMITS[name]()
    assert usual > 1000
    monkeypatch.setenv(name, "17")
    assert LIMITS[name]() == 17
    for odd in ("", "many", "-3", "1e9", "9" * 40):
        monkeypatch.setenv(name, odd)
        assert LIMITS[name]() == usual


def test_they_hold_where_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = ["policy,prompt,safety,humor"]
    long += [f"m{i},p{j},0.5,0.{i}" for i in range(3) for j in range(5)]
    (tmp_path / "t.csv").write_text("\n".join(long))
    assert len(read_reward_table(tmp_path / "t.csv").policies) == 3
    for name, most, words in (
        ("PALM_MOST_POLICIES", "2", "3 policies, more than 2"),
        ("PALM_MOST_PROMPTS", "4", "5 prompts, more than 4.*PALM_MOST_PROMPTS"),
        ("PALM_MOST_COLUMNS", "3", "PALM_MOST_COLUMNS"),
        ("PALM_MOST_CELLS", "14", "PALM_MOST_CELLS"),
    ):
        monkeypatch.setenv(name, most)
        with pytest.raises(InvalidInputError, match=words):
            read_reward_table(tmp_path / "t.csv")
        monkeypatch.delenv(name)
    (tmp_path / "users.csv").write_text("safety,humor\n" + ".5,.5\n" * 9)
    from palm_engine.analysis.populations import read_users

    file = read_table_file(tmp_path / "users.csv")
    assert len(read_users(file, ["safety", "humor"]).weights) >= 1
    monkeypatch.setenv("PALM_MOST_USERS", "8")
    with pytest.raises(InvalidInputError, match="9 rows; at most 8"):
        read_users(file, ["safety", "humor"])
    (tmp_path / "x.json").write_text("[" + "1," * 50 + "1]")
    assert len(read_json(tmp_path / "x.json", BundleError, "x")) == 51
    monkeypatch.setenv("PALM_MOST_JSON", "99")
    with pytest.raises(BundleError, match="103 bytes, more than 99"):
        read_json(tmp_path / "x.json", BundleError, "x")
