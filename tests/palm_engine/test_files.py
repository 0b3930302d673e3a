"""A file or folder is written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from palm_engine import _files
from palm_engine._files import whole_file, whole_folder, write_whole


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.json"
    write_whole(target, "old")
    write_whole(target, "neu: ä")
    assert target.read_text(encoding="utf-8") == "neu: ä"
    assert [p.name for p in target.parent.iterdir()] == ["a.json"]


def test_a_cut_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_whole(target, b"old")

    def cut_short() -> None:
        with whole_file(target) as part:
            part.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        cut_short()
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_ctrl_c_between_two_renames_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "demo"
    with whole_folder(folder) as part:
        (part / "x").write_text("old")
    rename = Path.rename
    done: list[Path] = []

    def pressed(self: Path, target: Path) -> Path:
        done.append(self)
        if len(done) == 2:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(_files, "_exchange", lambda one, other: False)  # a system that can't
    monkeypatch.setattr(Path, "rename", pressed)
    with pytest.raises(KeyboardInterrupt), whole_folder(folder) as part:
        (part / "x").write_text("new")
    assert (folder / "x").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]


@pytest.mark.skipif(sys.platform == "win32", reason="two renames there")
def test_a_replaced_folder_is_there_at_every_moment(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with whole_folder(folder) as part:
        (part / "x").write_text("0")
    seen: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            try:
                seen.append((folder / "x").read_text())
            except FileNotFoundError:
                seen.append("nothing")

    watcher = threading.Thread(target=watch)
    watcher.start()
    for count in range(1, 101):
        with whole_folder(folder) as part:
            (part / "x").write_text(str(count))
    ended.set()
    watcher.join()
    assert len(set(seen)) > 10
    assert "nothing" not in seen
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_replaced_folder_is_kept_in_the_place_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_one_step: bool
) -> None:
    if not in_one_step:
        monkeypatch.setattr(_files, "_exchange", lambda one, other: False)
    folder, kept = tmp_path / "demo", tmp_path / "demo.previous"
    for count in range(3):
        with whole_folder(folder, kept) as part:
            (part / "x").write_text(str(count))
    assert (folder / "x").read_text() == "2"
    assert (kept / "x").read_text() == "1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo", "demo.previous"]


@pytest.mark.parametrize("in_one_step", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_is_replaced_is_never_lost(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_one_step: bool,
    error: type[BaseException],
) -> None:
    # Stopped at every rename in turn.
    for stop in range(1, 8):
        folder = tmp_path / str(stop) / "demo"
        kept = folder.with_name("demo.previous")
        with whole_folder(folder, kept) as part:
            (part / "x").write_text("old")
        done: list[Path] = []
        rename, exchange = Path.rename, _files._exchange

        def counted(done: list[Path] = done, stop: int = stop) -> None:
            done.append(Path())
            if len(done) == stop:
                raise error("stopped")

        def renamed(self: Path, target: Path, rename: Any = rename, counted: Any = counted) -> Path:
            counted()
            return Path(rename(self, target))

        def exchanged(
            one: Path, other: Path, exchange: Any = exchange, counted: Any = counted
        ) -> bool:
            counted()
            return bool(in_one_step and exchange(one, other))

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", renamed)
            patched.setattr(_files, "_exchange", exchanged)
            try:
                with whole_folder(folder, kept) as part:
                    (part / "x").write_text("new")
            except error:
                pass
        left = [p.parent for p in folder.parent.glob("*/x") if p.read_text() == "old"]
        assert left, f"stopped at rename {stop}"
        assert folder.exists() or any(p.suffix == ".old" for p in left)
        assert (len(done) < stop) == (left == [kept]) or kept in left


def test_what_a_killed_process_left_half_written_is_cleared(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    gone = int(done.stdout)
    dead = tmp_path / f".demo.{_files._HOST}-{gone}-12345678.part"
    alive = tmp_path / f".demo.{_files._HOST}-{os.getpid()}-12345678.part"
    elsewhere = tmp_path / f".demo.ffffff-{gone}-12345678.part"
    old = tmp_path / f".demo.{_files._HOST}-{gone}-12345678.old"
    for left in (dead, alive, elsewhere, old):
        left.mkdir()
    with whole_folder(tmp_path / "demo"):
        pass
    assert not dead.exists()
    assert alive.exists()
    assert elsewhere.exists()
    assert old.exists()


def test_a_cut_folder_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with whole_folder(folder) as part:
        (part / "x").write_text("old")

    def cut_short() -> None:
        with whole_folder(folder) as part:
            (part / "x").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        cut_short()
    assert (folder / "x").read_text() == "old"
    with whole_folder(folder) as part:
        (part / "y").write_text("new")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["demo", "y"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, why in (("pipe", "a device or a pipe"), ("folder", "is a folder")):
        with pytest.raises(OSError, match=why):
            write_whole(tmp_path / name, "new")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "pipe"]


def test_a_link_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("mine")
    (tmp_path / "file").symlink_to(tmp_path / "real")
    (tmp_path / "home").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "home")
    with pytest.raises(OSError, match="is a link"):
        write_whole(tmp_path / "file", "new")
    with pytest.raises(OSError, match="is a link"), whole_folder(tmp_path / "folder"):
        pass
    assert (tmp_path / "real").read_text() == "mine"
    assert (tmp_path / "file").is_symlink()
    assert (tmp_path / "folder").is_symlink()
    assert not list(tmp_path.glob(".*"))
