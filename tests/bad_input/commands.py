"""Wrong users, and wrong calls of commands that the other cases don't reach."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bad_input.bundles import good
from tests.bad_input.case import Case
from tests.bad_input.tables import GOOD

HEAD = "safety,humor"


def users(content: str | bytes | None, name: str = "u.csv") -> Callable[[Path], list[object]]:
    """`palm select` for a population of this content; None: there is no such file."""

    def make(folder: Path) -> list[object]:
        (folder / "t.csv").write_text(GOOD)
        if content is not None:
            data = content if isinstance(content, bytes) else content.encode()
            (folder / name).write_bytes(data)
        return ["select", folder / "t.csv", "--k", 1, "--population", folder / name]

    return make


def population(text: str) -> Callable[[Path], list[object]]:
    """`palm select` for a named population."""

    def make(folder: Path) -> list[object]:
        (folder / "t.csv").write_text(GOOD)
        return ["select", folder / "t.csv", "--k", 1, "--population", text]

    return make


def utility(*options: object) -> Callable[[Path], list[object]]:
    """`palm utility` on a good table."""

    def make(folder: Path) -> list[object]:
        (folder / "t.csv").write_text(GOOD)
        return ["utility", folder / "t.csv", "--k", 1, *options]

    return make


def traffic(content: str) -> Callable[[Path], list[object]]:
    """`palm recommend` of a bundle for these users."""

    def make(folder: Path) -> list[object]:
        (folder / "u.csv").write_text(content)
        return ["recommend", good(), "--users", folder / "u.csv"]

    return make


def nowhere(*words: object) -> Callable[[Path], list[object]]:
    """A command; `None` among its words is a folder that isn't there."""
    return lambda folder: [folder / "none" if w is None else w for w in words]


USERS = [
    Case("nobody's file", users(None), "no such file"),
    Case("empty", users(""), "u.csv"),
    Case("no rows", users(HEAD + "\n"), "no rows|no users"),
    Case("a trait missing", users("safety\n1\n"), "no column 'humor'"),
    Case("a weight below 0", users(HEAD + "\n1,-1\n"), "row 2.*humor.*-1"),
    Case("a weight that is a word", users(HEAD + "\n1,much\n"), "row 2.*humor.*much"),
    Case("a weight missing", users(HEAD + "\n1,\n"), "row 2.*humor"),
    Case("a weight infinite", users(HEAD + "\n1,inf\n"), "row 2.*humor"),
    Case("weights too large", users(HEAD + "\n1e308,1e308\n"), "too large|1e308"),
    Case("all weights 0", users(HEAD + "\n1,1\n0,0\n"), "row 3.*all weights are 0"),
    Case("a count of 0", users(HEAD + ",count\n1,1,0\n"), "counts are numbers above 0"),
    Case("a count below 0", users(HEAD + ",count\n1,1,-5\n"), "count.*-5"),
    Case("a count that is a word", users(HEAD + ",count\n1,1,many\n"), "count.*many"),
    Case(
        "300 segments",
        users(HEAD + ",segment\n" + "".join(f"1,1,s{i}\n" for i in range(300))),
        "300 different segments",
    ),
    Case("a column twice", users("safety,humor,safety\n1,1,1\n"), "'safety'"),
    Case("noise", users(bytes(range(256)) * 20), "u.csv"),
    Case("noise called Parquet", users(b"PAR1 and noise", "u.parquet"), "u.parquet"),
    Case("a picture", users(b"\x89PNG", "u.png"), "u.png"),
    Case("JSON of no table", users("3", "u.json"), "JSON table"),
    Case("a mix of nothing", population("dirichlet:"), "dirichlet"),
    Case("a mix of words", population("dirichlet:much"), "dirichlet|much"),
    Case("a mix of 0", population("dirichlet:0"), "dirichlet|above 0|positive"),
    Case("a mix below 0", population("dirichlet:-1"), "dirichlet|above 0|positive"),
    Case("a mix of too many", population("dirichlet:1,2,3"), "dirichlet|3|traits"),
    Case("a mix of nan", population("dirichlet:nan"), "dirichlet|nan"),
    Case("recommend: a trait missing", traffic("safety\n1\n"), "no column 'humor'"),
    Case("recommend: all 0", traffic("safety,humor,brevity\n0,0,0\n"), "all weights are 0"),
]
COMMANDS = [
    Case("utility: of no kind", utility(), "--mean|--at-least|--chebyshev"),
    Case("utility: two kinds", utility("--chebyshev", "--mean", 0.5), "one of|--mean"),
    Case("utility: a mean of nan", utility("--mean", "nan"), "nan|mean"),
    Case("utility: no trait", utility("--at-least", "wit>=.5"), "wit"),
    Case("utility: no number", utility("--at-least", "safety>=much"), "much|safety"),
    Case("utility: beyond 1", utility("--at-least", "safety>=7"), "rewards are from 0 to 1"),
    Case("evaluate nothing", nowhere("evaluate", None), "no such file"),
    Case("interpolate nothing", nowhere("interpolate", None), "no such file"),
    Case("account of nothing", nowhere("account", None), "no such file"),
    Case("export nothing", nowhere("export", "vllm", None, "x"), "no such file"),
    Case("serve nothing", nowhere("serve", None, "--upstream", "http://127.0.0.1:9/v1"), "no such"),
    Case("push nothing", nowhere("push", None, "me/mine"), "no such file"),
    Case("push to no name", lambda f: ["push", good(), "mine"], "owner/name"),
    Case("pull no name", lambda f: ["pull", "mine", "--out", f / "x"], "owner/name"),
    Case("reading of nothing", nowhere("reading", "sheets", None, "--out", "x"), "no such file"),
    Case("fit to nothing", nowhere("rewards", "fit", None, "--trait", "x", "--out", "x"), "none"),
    Case(
        "train on nothing",
        nowhere("rewards", "train", None, "--head", "x", "--out", "judge"),
        "none",
    ),
    Case("audit nothing", nowhere("rewards", "audit", None), "no such file"),
    Case(
        "users of no database",
        lambda f: ["users", "list", "--database", "sqlite:////proc/none/x.db"],
        "can't be opened|unable to open|database",
    ),
    Case(
        "users of an odd database",
        lambda f: ["users", "list", "--database", "magic://x"],
        "magic|database",
    ),
    Case(
        "weights of nothing",
        lambda f: ["users", "set", "ada", "--weights", "safety", "--database", f"sqlite:///{f}/u"],
        "safety|weights",
    ),
    Case(
        "weights below 0",
        lambda f: ["users", "set", "ada", "--weights", "a=-1", "--database", f"sqlite:///{f}/u"],
        "-1|weights",
    ),
]
