"""Cells of a CSV file arrive as written, or the file is refused."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from palm_engine._csv import read_cells
from palm_engine.errors import ConfigError, InvalidInputError, PalmError


def test_cells_arrive_as_they_are_written() -> None:
    frame = read_cells(io.StringIO('a,b\n007,"x, y"\nNA,\n'))
    assert frame.to_dict("list") == {"a": ["007", "NA"], "b": ["x, y", ""]}
    assert list(read_cells(io.StringIO("a;b\n1;2\n"), ";")["b"]) == ["2"]


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("pipe", "no regular file"), (".", "no regular file"), ("no", "No such")):
        with pytest.raises(ValueError, match=why):
            read_cells(tmp_path / name)


@pytest.mark.parametrize("rows", ["1,2,3\n4,5,6\n", "1,2\n4,5,6\n"])
def test_a_cell_too_many_is_never_left_out(rows: str) -> None:
    with pytest.raises(ValueError, match=r"more cells|fields"):
        read_cells(io.StringIO(f"a,b\n{rows}"))


def _prompts(path: Path) -> object:
    from palm_engine.pipeline.sample import read_prompts

    return read_prompts(path)


def _labelled(path: Path) -> object:
    pytest.importorskip("torch")
    from palm_engine.lm.reward_model import RewardModelSettings
    from palm_engine.rewards.train import train_model

    settings = RewardModelSettings(base="x", heads=("fit",))
    return train_model([path], {"fit": 1}, path.parent / "out", settings)


def _probe(path: Path) -> object:
    from palm_engine.rewards.fit import fit_probe

    return fit_probe(path, "fit", path.parent / "out.json")


def _references(path: Path) -> object:
    from palm_engine.rewards.judge import Judge
    from palm_engine.rewards.settings import JudgeSettings

    settings = JudgeSettings(
        kind="judge",
        url="http://localhost:1/v1",
        model="m",
        rubric="Grade {prompt} {answer}",
        references=Path(path.name),
    )
    return Judge(settings, path.parent)


def _reading(path: Path) -> object:
    from palm_engine.cli.reading import _table

    return _table(path)


@pytest.mark.parametrize(
    ("header", "read", "error"),
    [
        ("prompt_id,kind,split,text", _prompts, ConfigError),
        ("topic,prompt,answer,fit", _labelled, InvalidInputError),
        ("topic,prompt,answer,fit", _probe, InvalidInputError),
        ("id,prompt,text,more", _references, ConfigError),
        ("item,prompt,answer,safety", _reading, InvalidInputError),
    ],
)
def test_no_reader_shifts_columns_where_every_row_has_a_comma_too_many(
    tmp_path: Path, header: str, read: Callable[[Path], object], error: type[PalmError]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{header}\na,train,train,Hello, dear?\nb,choose,choose,Well, well?\n")
    with pytest.raises(error, match=r"t\.csv.*more cells"):
        read(path)
