"""Table files of every form give the same cells; what is no table is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from palm_engine.errors import InvalidInputError
from palm_engine.tables.files import read_table_file

ROWS = [{"model": "org/a b", "x": "0.5", "y": "007"}, {"model": 'ü, "q"', "x": "", "y": "NA"}]
FRAME = pd.DataFrame(ROWS)


def write(folder: Path, form: str) -> Path:
    """ROWS in one of the forms."""
    path = folder / f"t.{form.partition('/')[0]}"
    variant = form.partition("/")[2]
    if form == "parquet":
        FRAME.to_parquet(path)
    elif variant == "tab" or form == "tsv":
        FRAME.to_csv(path, sep="\t", index=False)
    elif form in ("jsonl", "ndjson"):
        path.write_text("\n\n".join(json.dumps(r) for r in ROWS))
    elif form == "json":
        path.write_text(json.dumps(ROWS))
    elif variant == "columns":
        path.write_text(json.dumps({c: [r[c] for r in ROWS] for c in ROWS[0]}))
    elif variant == "data":
        path.write_text(json.dumps({"data": ROWS}))
    elif variant in (";", "|"):
        FRAME.to_csv(path, sep=variant, index=False)
    else:
        FRAME.to_csv(path, index=False, encoding=variant or "utf-8")
    return path


@pytest.mark.parametrize(
    "form",
    [
        *("csv", "csv/;", "csv/|", "csv/utf-8-sig", "csv/utf-16", "csv/cp1252", "csv/tab", "txt"),
        *("txt/tab", "txt/;", "tsv", "parquet"),
        *("jsonl", "ndjson", "json", "json/columns", "json/data"),
    ],
)
def test_every_form_gives_the_same_cells(tmp_path: Path, form: str) -> None:
    file = read_table_file(write(tmp_path, form))
    assert file.frame.to_dict("records") == ROWS
    in_an_editor = 2 if form.startswith(("csv", "tsv", "txt")) else 1
    assert file.row(0).endswith(f"row {in_an_editor}")


def test_names_that_pandas_kept_as_an_index_are_a_column(tmp_path: Path) -> None:
    FRAME.set_index("model").to_parquet(tmp_path / "t.parquet")
    assert read_table_file(tmp_path / "t.parquet").frame.to_dict("records") == ROWS
    FRAME[FRAME["x"] == ""].to_parquet(tmp_path / "filtered.parquet")
    filtered = read_table_file(tmp_path / "filtered.parquet").frame
    assert filtered.to_dict("records") == ROWS[1:]


def test_lines_of_json_end_nowhere_but_at_line_ends(tmp_path: Path) -> None:
    rows = [{"policy": p, "text": "one\u2028two\x85three", "x": 0.5} for p in "ab"]
    lines = "\n".join(json.dumps(r, ensure_ascii=False) for r in rows)
    (tmp_path / "t.jsonl").write_text(lines, encoding="utf-8", newline="")
    assert read_table_file(tmp_path / "t.jsonl").frame.to_dict("records") == rows


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark_is_recognised(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes("model,x,y\nü,0.5,0.1\n".encode(encoding))
    file = read_table_file(tmp_path / "t.csv")
    assert file.frame.to_dict("records") == [{"model": "ü", "x": "0.5", "y": "0.1"}]


def test_what_spreadsheets_write_is_read_and_an_assumed_encoding_is_said(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"model,x\ra,1\rb,2\r")
    assert list(read_table_file(tmp_path / "t.csv").frame["x"]) == ["1", "2"]
    (tmp_path / "t.csv").write_text("sep=;\nmodel;x\na;1,5\n")
    assert read_table_file(tmp_path / "t.csv").frame.to_dict("records") == [
        {"model": "a", "x": "1,5"}
    ]
    # As many commas as semicolons in the header, but not below it.
    (tmp_path / "t.csv").write_text("model;x;y, z\na;1,5;2\nb;2,5;1\n".replace("y, z", "y,z,w"))
    assert list(read_table_file(tmp_path / "t.csv").frame.columns) == ["model", "x", "y,z,w"]
    for content, encoding in (("ü".encode(), ""), ("ü".encode("cp1252"), "cp1252")):
        (tmp_path / "t.csv").write_bytes(b"model,x\n" + content + b",1\n")
        file = read_table_file(tmp_path / "t.csv")
        assert (file.frame["model"][0], file.encoding) == ("ü", encoding)


def test_an_object_of_objects_names_its_rows(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(
        '{"m1": {"a": 1, "b": {"c": 2}}, "m2": {"a": 3, "b": {"c": 4}}}'
    )
    frame = read_table_file(tmp_path / "t.json").frame
    assert frame.to_dict("list") == {"policy": ["m1", "m2"], "a": [1, 3], "b.c": [2, 4]}


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("t.csv", "", "empty"),
        ("t.csv", "a,b\n", "no rows"),
        ("t.csv", "a,a\n1,2\n", "two columns are called 'a'"),
        ("t.csv", 'a,b\n"1,2\n', "can't be read"),
        ("t.csv", "a,b\n1,2,3,4\n", "more cells than the header"),
        ("t.jsonl", '{"a": 1}\n{"a": \n', "row 2: not valid JSON"),
        ("t.jsonl", "[1]\n", "row 1: not an object"),
        ("t.json", "[1, 2]", "list of objects"),
        ("t.json", "{", "can't be read"),
        ("t.parquet", "no parquet", "not a readable Parquet"),
        ("t.xlsx", "x", r"\.csv"),
    ],
)
def test_what_is_no_table_is_refused_by_name(
    tmp_path: Path, name: str, content: str, why: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInputError, match=why) as found:
        read_table_file(tmp_path / name)
    assert str(tmp_path / name) in str(found.value)


def test_missing_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no such file"):
        read_table_file(tmp_path / "nowhere.csv")
    with pytest.raises(InvalidInputError, match="is a folder"):
        read_table_file(tmp_path)
