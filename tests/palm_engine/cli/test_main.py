"""`palm show`, `answers`, `base` and `--version`, as a user calls them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import palm_engine
from palm_engine.bundle.folder import read_bundle
from palm_engine.cli import main as cli
from palm_engine.cli.main import app
from tests.support.command_line import Palm


def test_show_prints_the_validated_manifest_as_json(palm: Palm, bundles: Path) -> None:
    code, out, _ = palm("show", bundles / "demo", "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["format_version"] == 2
    manifest = read_bundle(bundles / "demo").manifest
    assert shown == json.loads(manifest.model_dump_json(exclude_none=True))
    assert "| policy |" in palm("show", bundles / "demo", "--markdown")[1]
    assert "7 candidates" in palm("show", bundles / "demo")[1]


def test_show_names_file_and_field_of_a_broken_bundle(palm: Palm, tmp_path: Path) -> None:
    (tmp_path / "portfolio.json").write_text('{"format_version": 2, "name": "../x"}')
    code, _, err = palm("show", tmp_path)
    assert code == 2
    assert "portfolio.json" in err.replace(" ", "")
    assert "name: String should match" in err
    assert "Traceback" not in err


def test_answers_are_random_held_out_ones_of_one_policy(palm: Palm, bundles: Path) -> None:
    code, out, _ = palm("answers", bundles / "demo", "m2", "--count", "4", "--seed", "3")
    assert code == 0
    lines = out.strip().splitlines()
    assert len(lines) == 4
    assert all(line.startswith("- **Question p") and "m2 on p" in line for line in lines)
    assert all("safety 0." in line or "safety 1." in line for line in lines)
    assert palm("answers", bundles / "demo", "m2", "--count", "4", "--seed", "3")[1] == out
    assert palm("answers", bundles / "demo", "m2", "--count", "4", "--seed", "4")[1] != out
    code, _, err = palm("answers", bundles / "demo", "nobody")
    assert code == 2
    assert "no candidate 'nobody'" in err


def test_base_says_where_a_folder_is_and_refuses_what_is_none(palm: Palm, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.support.fakes import tiny_base

    base = tiny_base(tmp_path / "base")
    code, out, _ = palm("base", base)
    assert code == 0
    assert "fingerprint" in out
    assert str(base) in "".join(out.split("\n"))
    code, _, err = palm("base", tmp_path / "nothing")
    assert code == 2
    assert "not a local folder" in err


def test_version_and_help_have_no_error(palm: Palm) -> None:
    assert palm("--version")[1].strip() == palm_engine.__version__
    code, out, _ = palm("--help")
    assert code == 0
    for command in ("app", "show", "select", "certify", "generate", "build"):
        assert command in out
    assert "Start here: palm app" in " ".join(out.split())


def test_every_command_shows_an_example(palm: Palm) -> None:
    group: Any = get_command(app)

    def walk(command: Any, words: tuple[str, ...]) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(inner, (*words, name))
            return
        text = " ".join(palm(*words, "--help")[1].split())
        assert "Example" in text, f"palm {' '.join(words)} --help has no example"
        assert f"palm {' '.join(words)}" in text

    walk(group, ())


def test_the_dashboard_is_opened_on_a_folder_with_what_is_asked_for(
    palm: Palm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def instead(program: str, words: list[str]) -> None:
        started.append(words)
        raise SystemExit(0)

    monkeypatch.setattr("os.execv", instead)
    monkeypatch.setattr("os.chdir", lambda folder: None)
    monkeypatch.delenv("PALM_LOAD", raising=False)
    (tmp_path / "mine").mkdir()
    palm("app", tmp_path / "mine", "--port", 8600, "--load")
    assert str(tmp_path / "mine") in started[0]
    assert "8600" in started[0]
    assert os.environ.pop("PALM_LOAD") == "1"


def test_ctrl_c_is_one_sentence_and_says_what_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for ended in (KeyboardInterrupt(), SystemExit(130)):

        def stopped(error: BaseException = ended) -> None:
            raise error

        monkeypatch.setattr("palm_engine.cli.main.app", stopped)
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == 130
        told = capsys.readouterr().err
        assert "go on when the same command is run again" in told.replace("\n", " ")
    monkeypatch.setattr("palm_engine.cli.main.app", lambda: sys.exit(1))
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory."), "out of memory"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file"), "the disk is full"),
        (type("SafetensorError", (Exception,), {})("No space left on device"), "the disk is full"),
    ],
)
def test_what_the_machine_lacks_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, why: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("palm_engine.cli.main.app", fails)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert why in told
    assert "Traceback" not in told


def test_a_fault_of_ours_is_no_lack_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr("palm_engine.cli.main.app", fails)
    with pytest.raises(RuntimeError, match="multiplied"):
        cli.main()
