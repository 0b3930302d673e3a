"""Wrong tables, for `palm select`, `palm curve` and `palm import`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.bad_input.case import Case

OUT_OF_RANGE = "or equal"
BLOCKS = "policy,prompt,safety,humor\n" + "".join(
    f"{m},{q},{'0.5' if q < 'q' else ''},{'0.5' if q >= 'q' else ''}\n"
    for m in "ab"
    for q in ("p1", "p2", "q1", "q2")
)
GOOD = "policy,safety,humor\na,0.1,0.9\nb,0.8,0.2\n"
LONG = "policy,prompt,safety,humor\na,p,0.1,0.9\na,q,0.2,0.8\nb,p,0.8,0.2\nb,q,0.7,0.3\n"


def text(content: str | bytes, name: str = "t.csv") -> Callable[[Path], list[object]]:
    """`palm select` on a file of this content."""

    def make(folder: Path) -> list[object]:
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
        return ["select", folder / name, "--k", 1]

    return make


def parquet(columns: dict[str, Any], command: str = "select") -> Callable[[Path], list[object]]:
    """A command on a Parquet file of these columns."""

    def make(folder: Path) -> list[object]:
        pd.DataFrame(columns).to_parquet(folder / "t.parquet", index=False)
        more = ["--k", 1] if command == "select" else ["--out", folder / "made"]
        return [command, folder / "t.parquet", *more]

    return make


def options(
    *more: object, content: str = GOOD, command: str = "select"
) -> Callable[[Path], list[object]]:
    """A command with odd options on a good table; `{}` in one is the folder."""

    def make(folder: Path) -> list[object]:
        (folder / "t.csv").write_text(content)
        filled = [str(m).replace("{}", str(folder)) for m in more]
        return [command, folder / "t.csv", *filled]

    return make


def importing(*more: object) -> Callable[[Path], list[object]]:
    """`palm import` of a good table with odd options."""
    return options("--out", "{}/made", *more, command="import")


def noted(notes: bytes) -> Callable[[Path], list[object]]:
    """A Parquet file with these notes of pandas."""

    def make(folder: Path) -> list[object]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({"policy": ["a", "b"], "safety": [0.1, 0.8], "humor": [0.9, 0.2]})
        pq.write_table(table.replace_schema_metadata({b"pandas": notes}), folder / "t.parquet")
        return ["select", folder / "t.parquet", "--k", 1]

    return make


def holes(name: str) -> Callable[[Path], list[object]]:
    """A large file that takes no room on the disk."""

    def make(folder: Path) -> list[object]:
        with (folder / name).open("wb") as file:
            file.truncate(600_000_000)
        return ["select", folder / name]

    return make


def bomb(rows: int) -> Callable[[Path], list[object]]:
    """Two megabytes that stand for a table of so many rows."""

    def make(folder: Path) -> list[object]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        part = pa.table(
            {
                "policy": pa.array(["a"] * 1_000_000).dictionary_encode(),
                "safety": pa.array(np.zeros(1_000_000)),
                "humor": pa.array(np.zeros(1_000_000)),
            }
        )
        with pq.ParquetWriter(folder / "t.parquet", part.schema, compression="zstd") as file:
            for _ in range(rows // 1_000_000):
                file.write_table(part)
        return ["select", folder / "t.parquet", "--k", 1]

    return make


def long_text(rows: int) -> Callable[[Path], list[object]]:
    """A few kilobytes that stand for a text of a megabyte in every row."""

    def make(folder: Path) -> list[object]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts = pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), ["x" * 1_000_000])
        columns = {
            "policy": [f"p{i}" for i in range(rows)],
            "safety": np.linspace(0, 1, rows),
            "humor": np.linspace(1, 0, rows),
            "text": texts,
        }
        pq.write_table(pa.table(columns), folder / "t.parquet", compression="zstd")
        return ["select", folder / "t.parquet", "--k", 1]

    return make


def many(what: str, count: int) -> Callable[[Path], list[object]]:
    """A table of very many policies, prompts or columns."""

    def make(folder: Path) -> list[object]:
        if what == "columns":
            header = ",".join(f"c{i}" for i in range(count))
            (folder / "t.csv").write_text(f"policy,{header}\na{',0' * count}\nb{',1' * count}\n")
        elif what == "policies":
            rows = "".join(f"p{i},0.5,0.{i % 10}\n" for i in range(count))
            (folder / "t.csv").write_text("policy,safety,humor\n" + rows)
        else:
            rows = "".join(f"a,q{i},0.5,0.5\n" for i in range(count))
            (folder / "t.csv").write_text("policy,prompt,safety,humor\n" + rows)
        return ["select", folder / "t.csv", "--k", 1]

    return make


def wide_lines(count: int) -> Callable[[Path], list[object]]:
    """A column of its own for each row: every row has a cell in each."""

    def make(folder: Path) -> list[object]:
        rows = "".join(f'{{"policy": "p{i}", "c{i}": 0.5}}\n' for i in range(count))
        (folder / "t.jsonl").write_text(rows)
        return ["select", folder / "t.jsonl", "--k", 1]

    return make


def lines(*rows: str) -> Callable[[Path], list[object]]:
    """A table of JSON Lines."""

    def make(folder: Path) -> list[object]:
        (folder / "t.jsonl").write_text("\n".join(rows) + "\n")
        return ["select", folder / "t.jsonl", "--k", 1]

    return make


def special(kind: str) -> Callable[[Path], list[object]]:
    """Something at the table's place that is no file."""

    def make(folder: Path) -> list[object]:
        import os

        path = folder / "t.csv"
        if kind == "folder":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "gone link":
            path.symlink_to(folder / "nowhere")
        elif kind == "loop":
            path.symlink_to(path)
        elif kind == "long name":
            path = folder / ("x" * 300 + ".csv")
        elif kind == "null":
            path = Path(f"{folder}/a\0b.csv")
        return ["select", path, "--k", 1]

    return make


def cells(value: str) -> str:
    """The good table with one cell replaced."""
    return GOOD.replace("0.9", value)


HUMOR = ("--trait", "humor")
TIMES = pd.to_datetime(["2026-01-01", "2026-01-02"])
TWO = {"policy": ["a", "b"], "safety": [0.1, 0.8], "humor": [0.9, 0.2]}

FILES = [
    Case("empty file", text(""), "empty"),
    Case("white space only", text("\n \n\t\n"), "empty"),
    Case("header only", text("policy,safety,humor\n"), "no rows"),
    Case("one trait only", text("policy,safety\na,0.1\nb,0.2\n"), "trait|columns"),
    Case("no policy column and no words", text("x,y\n1,2\n3,4\n"), "polic"),
    Case("no numbers", text("policy,safety,humor\na,x,y\nb,z,w\n"), "trait|number|score"),
    Case(
        "policy without a name",
        text("policy,safety,humor\n,0.1,0.9\nb,0.8,0.2\n"),
        "row 2.*missing",
    ),
    Case("a policy twice", text(GOOD + "a,0.3,0.3\n"), "row 4.*a"),
    Case(
        "a column twice",
        text("policy,safety,safety\na,0.1,0.9\nb,0.8,0.2\n"),
        "two columns.*safety",
    ),
    Case("cost twice", text("policy,safety,humor,cost,cost\na,0.1,0.9,1,1\n"), "two columns.*cost"),
    Case("a score above 1", text(cells("1.5")), r"row 2.*1\.5|not in \[0, 1\]"),
    Case("a score below 0", text(cells("-0.1")), r"not in \[0, 1\]"),
    Case("a score of 1e308", text(cells("1e308")), r"not in \[0, 1\]"),
    Case("an infinite score", text(cells("inf")), "row 2.*humor"),
    Case("minus infinity", text(cells("-Infinity")), "row 2.*humor"),
    Case("a word among scores", text(cells("good")), "row 2.*humor.*good"),
    Case("a formula among scores", text(cells("=1+1")), "row 2.*humor"),
    Case("a missing score", text(cells("")), "row 2.*humor.*missing"),
    Case("NA", text(cells("NA")), "row 2.*humor.*missing"),
    Case("NaN", text(cells("nan")), "row 2.*humor.*missing"),
    Case("yes and no", text("policy,safety,humor\na,yes,no\nb,no,yes\n"), "trait|number|score"),
    Case(
        "true and false",
        text("policy,safety,humor\na,True,False\nb,False,True\n"),
        "trait|number|score",
    ),
    Case("hexadecimal", text(cells("0x1")), "row 2.*humor"),
    Case("underscored", text(cells("0_9")), "row 2.*humor"),
    Case("two points", text(cells("0.9.1")), "row 2.*humor"),
    Case("a date", text(cells("2026-01-01")), "row 2.*humor"),
    Case("a cell too many in one row", text(GOOD + "c,0.1,0.2,0.3\n"), "line 4"),
    Case(
        "a cell too many in all rows",
        text("policy,safety,humor\na,0.1,0.9,x\nb,0.8,0.2,x\n"),
        "more cells",
    ),
    Case(
        "two cells too many in all rows",
        text("policy,safety,humor\na,.1,.9,x,y\nb,.8,.2,x,y\n"),
        "more cells",
    ),
    Case(
        "R's row names",
        text('"policy","safety","humor"\n"1","a",0.1,0.9\n"2","b",0.8,0.2\n'),
        "more cells",
    ),
    Case(
        "a cell too few", text("policy,safety,humor\na,0.1\nb,0.8,0.2\n"), "row 2.*humor.*missing"
    ),
    Case("a quote that doesn't end", text('policy,safety,humor\n"a,0.1,0.9\nb,0.8,0.2\n'), "t.csv"),
    Case("null bytes", text(b"policy,safety,humor\na\x00,0.1,0.9\nb,0.8,\x00\n"), "t.csv"),
    Case("a picture", text(b"\x89PNG\r\n\x1a\n" + bytes(range(256))), "t.csv"),
    Case("a zip file", text(b"PK\x03\x04" + bytes(60)), "t.csv"),
    Case("UTF-16 cut in half", text(GOOD.encode("utf-16")[:-1]), "t.csv"),
    Case("a spreadsheet", text(b"PK\x03\x04", "t.xlsx"), "file of"),
    Case("a pickle", text(b"\x80\x04]", "t.pkl"), "file of"),
    Case("no suffix", text(GOOD, "table"), "file of"),
    Case("a folder", special("folder"), "is a folder"),
    Case("a pipe", special("fifo"), "no such file|no regular file"),
    Case("a link to nothing", special("gone link"), "no such file"),
    Case("a link to itself", special("loop"), "no such file|can't be read"),
    Case("a name of 300 letters", special("long name"), "no such file|can't be read|too long"),
    Case("a null byte in the name", special("null"), "no such file|can't be read|null"),
    Case("no such file", lambda f: ["select", f / "none.csv", "--k", 1], "no such file"),
    Case("damaged Parquet", text(b"PAR1" + bytes(100) + b"PAR1", "t.parquet"), "t.parquet"),
    Case("CSV called Parquet", text(GOOD, "t.parquet"), "t.parquet"),
    Case("empty Parquet", text(b"", "t.parquet"), "t.parquet"),
    Case("JSON that ends early", text('[{"policy": "a"', "t.json"), "t.json"),
    Case("JSON of a number", text("3", "t.json"), "list of objects"),
    Case("JSON of words", text('["a", "b"]', "t.json"), "list of objects"),
    Case("JSON nested deeply", text("[" * 100_000, "t.json"), "t.json"),
    Case(
        "JSON with a huge number",
        text('[{"policy": "a", "x": ' + "9" * 6000 + "}]", "t.json"),
        "t.json",
    ),
    Case(
        "JSON of lists in cells",
        text('[{"policy": "a", "safety": [1], "humor": 1}]', "t.json"),
        "safety|trait|number",
    ),
    Case("JSON Lines: not JSON", text('{"policy": "a"}\nnope\n', "t.jsonl"), "row 2"),
    Case("JSON Lines: a list", text('{"policy": "a"}\n[1]\n', "t.jsonl"), "row 2"),
    Case("JSON Lines nested deeply", text("[" * 100_000 + "\n", "t.jsonl"), "t.jsonl"),
    Case("JSON Lines, empty", text("\n\n", "t.jsonl"), "no rows"),
    Case(
        "long: a prompt missing", text(LONG.replace("b,q,0.7,0.3\n", "")), "no row for prompt 'q'"
    ),
    Case(
        "long: a prompt without a name", text(LONG.replace("a,q", "a,")), "row 3.*prompt.*missing"
    ),
    Case("long: a score missing", text(LONG.replace("0.8,0.2", ",0.2")), "row 4.*safety.*missing"),
    Case(
        "a cost below 0",
        text("policy,safety,humor,cost\na,0.1,0.9,-1\nb,0.8,0.2,1\n"),
        "row 2.*cost",
    ),
    Case(
        "a cost that is a word",
        text("policy,safety,humor,cost\na,0.1,0.9,free\nb,0.8,0.2,1\n"),
        "row 2.*cost",
    ),
    Case(
        "nine traits",
        text("policy," + ",".join("abcdefghi") + "\nx" + ",0.5" * 9 + "\ny" + ",0.4" * 9 + "\n"),
        "traits|columns",
    ),
    Case("Parquet of times", parquet(TWO | {"humor": TIMES}), "humor"),
    Case("Parquet of durations", parquet(TWO | {"humor": TIMES - TIMES[0]}), "humor"),
    Case("Parquet of booleans", parquet(TWO | {"humor": [True, False]}), "humor"),
    Case("Parquet: policies of bytes", parquet(TWO | {"policy": [b"a", b"b"]}), "polic"),
    Case("Parquet: policies of times", parquet(TWO | {"policy": TIMES}), "polic"),
    Case(
        "Parquet: a policy missing", parquet(TWO | {"policy": ["a", None]}), "row 2.*polic.*missing"
    ),
    Case("Parquet: prompts of lists", parquet(TWO | {"prompt": [["x"], ["y"]]}), "prompt"),
    Case("Parquet: a prompt missing", parquet(TWO | {"prompt": ["x", None]}), "prompt.*missing"),
    Case(
        "Parquet: a numbered prompt missing",
        parquet(TWO | {"prompt": [1.0, np.nan]}),
        "prompt.*missing",
    ),
    Case("Parquet: scores of bytes", parquet(TWO | {"humor": [b"1", b"0"]}), "humor|trait|number"),
    Case(
        "Parquet: scores of lists", parquet(TWO | {"humor": [[0.1], [0.2]]}), "humor|trait|number"
    ),
    Case("Parquet: infinite score", parquet(TWO | {"humor": [0.1, np.inf]}), "row 2.*humor"),
    Case("a CSV file of 600 MB", holes("t.csv"), "which take 5 GB.*PALM_MOST_BYTES"),
    Case("a JSON file of 600 MB", holes("t.json"), "which take 5 GB.*PALM_MOST_BYTES"),
    Case(
        "JSON: 11 million rows of nothing",
        text(b"[" + b"{}," * 11_000_000 + b"{}]", "t.json"),
        "some 11,000,001 cells.*PALM_MOST_CELLS",
    ),
    # What the fuzzer found: the notes that pandas keeps in a file, damaged.
    *(
        Case(f"Parquet: damaged notes {i}", noted(notes), "not a readable Parquet file")
        for i, notes in enumerate(
            (
                b"[",
                b'{"index_columns": 3}',
                b'{"columns": [{"name": 3}], "index_columns": ["x"], "column_indexes": [{}]}',
            ),
            1,
        )
    ),
    Case("Parquet: 200 million rows in a megabyte", bomb(200_000_000), "200,000,000 rows"),
    Case("Parquet: a megabyte in each of 100,000 rows", long_text(100_000), "100 GB"),
    Case(
        "1,500 columns of numbers and no policies",
        text(",".join(f"column number {i}" for i in range(1500)) + "\n" + ",".join("1" * 1500)),
        "no column that names policies",
    ),
    Case(
        "a missing score: whose option",
        text(GOOD.replace("0.2", "")),
        r"palm import that has --missing",
    ),
    Case(
        "two rows of a policy: whose option", text(GOOD + "a,0.3,0.3\n"), "palm import that has --p"
    ),
    Case("traits that were measured on prompts of their own", text(BLOCKS), "no prompt has all"),
    Case(
        "over a million policies",
        many("policies", 1_000_001),
        "1,000,001 policies, more than 1,000,000",
    ),
    Case("JSON Lines: a column for each row", wide_lines(20_000), "20,000 rows of 2,001 columns"),
    Case(
        "JSON Lines: a column twice", lines('{"policy": "a", "x": 1, "x": 2}'), "'x' stands twice"
    ),
    Case("a million columns", many("columns", 1_000_000), "columns"),
    Case("a million prompts of one policy", many("prompts", 1_000_000), "1,000,000 prompts"),
]
OPTIONS = [
    Case("no table", lambda f: ["select"], "Missing argument"),
    Case("an option that isn't there", options("--kk", 1), "No such option"),
    Case("k 0", options("--k", 0), OUT_OF_RANGE),
    Case("a trait that isn't there", options("--k", 1, "--trait", "speed"), "no column 'speed'"),
    Case("one trait", options("--k", 1, "--trait", "safety"), "choose 2"),
    Case("k -1", options("--k", -1), OUT_OF_RANGE),
    Case("k 1.5", options("--k", "1.5"), "valid integer"),
    Case("k a word", options("--k", "three"), "valid integer"),
    Case("k huge", options("--k", "9" * 30), ".", 0),
    Case("k above the policies", options("--k", 5), "2 member", 0),
    Case("k and a tolerance", options("--k", 1, "--delta", "0.1"), "not both"),
    Case("eps 2", options("--eps", 2), "2.* greater than or equal|less than or equal"),
    Case("eps nan", options("--eps", "nan"), "nan|range|finite|or equal"),
    Case("delta -1", options("--delta", -1), OUT_OF_RANGE),
    Case("delta nan", options("--delta", "nan"), "nan|finite|or equal"),
    Case("delta inf", options("--delta", "inf"), "inf|finite|or equal|tolerance"),
    Case("an unknown method", options("--k", 1, "--method", "magic"), "'magic'.*minimum"),
    Case("an unknown gap", options("--k", 1, "--gap", "relative"), "relative"),
    Case("where without a sign", options("--k", 1, "--where", "safety"), "--where"),
    Case("where of no trait", options("--k", 1, "--where", "speed>=.2"), "speed"),
    Case("where out of range", options("--k", 1, "--where", "safety>=2"), "--where|range|safety"),
    Case("where nan", options("--k", 1, "--where", "safety>=nan"), "--where"),
    Case(
        "where that leaves no room",
        options("--k", 1, "--where", "safety>=.7", "--where", "humor>=.7"),
        "no room for the weight of '(safety|humor)'",
    ),
    Case(
        "where against itself",
        options("--k", 1, "--where", "safety>=.7", "--where", "safety<=.2"),
        "safety|room|bounds",
    ),
    Case("floor of no trait", options("--k", 1, "--floor", "speed>=.2"), "speed"),
    Case(
        "floor that nobody meets",
        options("--k", 1, "--floor", "safety>=.99"),
        "floor|nobody|candidate|polic",
        3,
    ),
    Case("include nobody", options("--k", 1, "--include", "x"), "'x'"),
    Case("exclude nobody", options("--k", 1, "--exclude", "x"), "'x'"),
    Case("include and exclude one", options("--k", 1, "--include", "a", "--exclude", "a"), "a"),
    Case(
        "exclude all",
        options("--k", 1, "--exclude", "a", "--exclude", "b"),
        "exclude|candidate|left|polic",
        3,
    ),
    Case(
        "include more than k",
        options("--k", 1, "--include", "a", "--include", "b"),
        "required|k",
        3,
    ),
    Case("time limit 0", options("--k", 1, "--time-limit", 0), "--time-limit"),
    Case("time limit nan", options("--k", 1, "--time-limit", "nan"), "--time-limit"),
    Case("budget 0", options("--k", 1, "--budget", 0), OUT_OF_RANGE),
    Case("seed -1", options("--k", 1, "--method", "random", "--seed", -1), OUT_OF_RANGE),
    Case(
        "grid eps 0",
        options("--method", "palm", "--delta", "0.1", "--grid-eps", 0),
        OUT_OF_RANGE,
    ),
    Case(
        "threshold -1",
        options("--k", 1, "--threshold", -1),
        OUT_OF_RANGE,
    ),
    Case("threshold nan", options("--k", 1, "--threshold", "nan"), OUT_OF_RANGE),
    Case("out in a file", options("--k", 1, "--out", "{}/t.csv/x"), "t.csv"),
    Case("out on a file", options("--k", 1, "--out", "{}/t.csv"), "is a file"),
    Case("out on /proc", options("--k", 1, "--out", "/proc/x"), "/proc"),
    Case("out called ..", options("--k", 1, "--out", "{}/.."), "name has"),
    Case("out called .hidden", options("--k", 1, "--out", "{}/.hidden"), "name has"),
    Case("out called -rf", options("--k", 1, "--out", "{}/-rf"), "name has"),
    Case("out of 300 letters", options("--k", 1, "--out", "{}/" + "x" * 300), "name has"),
    Case("curve of nothing", options("--most", 0, command="curve"), "range|most|No such option"),
    Case("certify nobody", options("--members", "x", command="certify"), "'x'"),
    Case("certify without members", options(command="certify"), "Missing option"),
    Case("certify an empty name", options("--members", ",", command="certify"), "member|''"),
    Case(
        "import: a column that isn't there",
        importing("--policy", "x"),
        "no such column",
    ),
    Case(
        "import: a trait that isn't there",
        importing("--trait", "x", *HUMOR),
        "x",
    ),
    Case(
        "import: a normalisation that isn't one",
        options("--out", "{}/made", "--trait", "safety:magic", *HUMOR, command="import"),
        "magic",
    ),
    Case(
        "import: a range the wrong way round",
        options("--out", "{}/made", "--trait", "safety:range:1:0", *HUMOR, command="import"),
        "low|below|range",
    ),
    Case(
        "import: a range of nothing",
        options("--out", "{}/made", "--trait", "safety:range:1:1", *HUMOR, command="import"),
        "low|below|range",
    ),
    Case(
        "import: a range of nan",
        options(
            "--out",
            "{}/made",
            "--trait",
            "safety:range:nan:1",
            "--trait",
            "humor",
            command="import",
        ),
        "nan|number|finite|range",
    ),
    Case(
        "import: a trait twice",
        importing("--trait", "safety", "--trait", "safety"),
        "safety|two",
    ),
    Case(
        "import: one trait",
        importing("--trait", "safety"),
        "two|trait",
    ),
    Case(
        "import: missing cells, odd word",
        importing("--missing", "ignore"),
        "missing",
    ),
    Case(
        "import: decimal sign",
        importing("--decimal", ";"),
        "--decimal",
    ),
    Case("import: seed -1", importing("--seed", -1), OUT_OF_RANGE),
    Case("import: out in a file", options("--out", "{}/t.csv/x", command="import"), "t.csv"),
    Case("show a table", options(command="show"), "t.csv"),
    Case("answers of a table", options("a", command="answers"), "t.csv"),
]
CASES = [*FILES, *OPTIONS]
