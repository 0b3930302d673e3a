"""A file or folder is written whole or not at all."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

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
