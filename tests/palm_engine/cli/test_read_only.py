"""On a disk that can't be written to, every writing command says so, and nothing is left."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from palm_engine.cli.main import app
from tests.support.bundles import make_bundle
from tests.support.disks import disk, mount

TABLE = "policy,safety,humor\na,.9,.1\nb,.1,.9\nc,.5,.5\n"
COMMANDS = {
    "import": ("import", "{in}/t.csv", "--out", "{}/new"),
    "select": ("select", "{in}/t.csv", "--k", "2", "--out", "{}/new"),
    "select over": ("select", "{}/held", "--k", "2", "--out", "{}/held", "--replace"),
    "export": ("export", "vllm", "portfolios/demo", "{}/served"),
    "account": ("account", "{}/held", "--out", "{}/account.md"),
    "users set": (
        "users",
        "set",
        "ada",
        "--weights",
        "safety=1",
        "--database",
        "sqlite:///{}/users.db",
    ),
    "reading": ("reading", "sheets", "{}/held", "--out", "{}/sheets"),
    "build": ("build", "{in}/c.toml", "--out", "{}/new", "--work", "{}/work"),
    "pull": ("pull", "me/mine", "--out", "{}/new"),
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A disk with a bundle that can only be read."""
    with disk(tmp_path / "disk") as found:
        make_bundle(found / "held")
        mount(found, "ro")
        yield found


@pytest.mark.parametrize("name", COMMANDS)
def test_it_is_said_and_nothing_is_left(name: str, place: Path, tmp_path: Path) -> None:
    given = tmp_path / "in"
    given.mkdir()
    (given / "t.csv").write_text(TABLE)
    (given / "c.toml").write_text(Path("configs/demo.toml").read_text())
    before = sorted(place.rglob("*"))
    words = [w.replace("{in}", str(given)).replace("{}", str(place)) for w in COMMANDS[name]]
    done = CliRunner().invoke(app, words)
    # As main() puts an error that isn't the project's own.
    said = done.output if done.exception is None else f"{done.output} {done.exception}"
    assert done.exit_code != 0, said
    assert "ead-only" in said or "can't be written" in said or "unable to open" in said, said
    assert sorted(place.rglob("*")) == before


def test_what_only_reads_works_there(place: Path) -> None:
    done = CliRunner().invoke(app, ["show", str(place / "held"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["name"]


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    (tmp_path / "b" / "samples.parquet").chmod(0)
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "t.csv").chmod(0)
    before: list[str] = []
    if os.getuid() == 0:  # who may read everything, but for this
        caps = "-dac_override,-dac_read_search"
        before = ["setpriv", "--bounding-set", caps, "--inh-caps", caps]
        if shutil.which("setpriv") is None:
            pytest.skip("root reads everything")
    for words, named in (
        (["show", str(tmp_path / "b")], "samples.parquet"),
        (["select", str(tmp_path / "t.csv"), "--k", "1"], "t.csv"),
    ):
        done = subprocess.run(
            [*before, sys.executable, "-m", "palm_engine.cli.main", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        said = re.sub(r"[│\s]+", "", done.stderr)  # typer wraps lines in a box
        assert named in said
        assert "Permissiondenied" in said or "isnotreadable" in said
        assert "Traceback" not in said
