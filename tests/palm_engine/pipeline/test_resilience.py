"""A build that is killed, or whose stored results are damaged, ends as an undisturbed one (slow).

`PALM_KILLS=30` kills it thirty times instead of six.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.errors import ConfigError, PalmError
from palm_engine.pipeline.config import load_config
from tests.support.builds import Recorder, edited, write_project
from tests.support.disks import disk, mount
from tests.support.fakes import fake_server

pytest.importorskip("peft")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("PALM_KILLS", "6"))
EACH_FILE = os.environ.get("PALM_FILES") == "all"
# A process needs seconds before it draws; the last of these are beyond the whole build.
SECONDS = (3.0, 25.0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    """A project, and what it gives when nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    edited(write_project(folder), ("count = 1", "count = 2\nwarm_start = true"))
    assert command(folder).wait(300) == 0
    return folder, read_bundle(folder / "out")


BUILD = ("build", "tiny.toml", "--out", "out", "--work", "kept")
# What comes after a build: a policy more, and prompts more.
LATER = {
    "add": ("add", "out", "--name", "twin", "--adapter", "mine", "--system", "CALM"),
    "evaluate": ("evaluate", "out", "--prompts", "more.csv"),
}


def command(
    folder: Path, stderr: int = subprocess.DEVNULL, words: tuple[str, ...] = BUILD
) -> subprocess.Popen[bytes]:
    """`palm build`, or other words, in a group of processes of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "palm_engine.cli.main", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
        # A shell's background jobs ignore Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def result(bundle: Bundle) -> dict[str, Any]:
    """All that a bundle says, but for when it was made."""
    found = bundle.manifest.model_dump()
    found["built"]["created"] = ""
    return found


def again(project: Path, folder: Path, kept: bool) -> Path:
    """A copy of the project, with its stored results or without."""
    shutil.copytree(project, folder, ignore=None if kept else shutil.ignore_patterns("kept", "out"))
    return folder


def test_killed_at_random_moments_it_ends_as_an_undisturbed_one(
    undisturbed: tuple[Path, Bundle], tmp_path: Path
) -> None:
    project, expected = undisturbed
    folder = again(project, tmp_path / "p", kept=False)
    rng = random.Random(1)
    killed = 0
    for _ in range(KILLS):
        running = command(folder)
        try:
            running.wait(rng.uniform(*SECONDS))
        except subprocess.TimeoutExpired:
            killed += 1
        finally:
            # The process alone: those that it started must end by themselves.
            running.send_signal(signal.SIGKILL) if running.poll() is None else None
            running.wait(10)
        if (folder / "out").is_dir():
            # Whenever it is there, it is whole.
            assert result(read_bundle(folder / "out")) == result(expected)
            shutil.rmtree(folder / "out")
            shutil.rmtree(folder / "kept")
    assert killed >= KILLS // 2
    deadline = time.monotonic() + 20
    while workers_of(folder):
        assert time.monotonic() < deadline, "a worker went on without its parent"
        time.sleep(0.2)
    assert command(folder).wait(300) == 0
    assert result(read_bundle(folder / "out")) == result(expected)
    assert not [p for p in folder.rglob("*") if p.name.endswith((".old",))]


@pytest.mark.parametrize("after", [1.0, 6.0])
def test_ctrl_c_ends_it_at_once_and_a_repeated_command_goes_on(
    undisturbed: tuple[Path, Bundle], tmp_path: Path, after: float
) -> None:
    project, expected = undisturbed
    folder = again(project, tmp_path / "p", kept=False)
    running = command(folder, subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not drawing(running.pid):
        assert running.poll() is None, "the build ended without a worker"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(after)
    running.send_signal(signal.SIGINT)
    pressed = time.monotonic()
    _, message = running.communicate(timeout=60)
    assert running.returncode == 130
    assert time.monotonic() - pressed < 10
    assert message.count(b"stopped.") == 1
    assert b"Traceback" not in message
    assert not workers_of(folder)
    assert command(folder).wait(300) == 0
    assert result(read_bundle(folder / "out")) == result(expected)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of its own of so many bytes; asked again, as large as that then."""
    with disk(tmp_path / "disk") as place:

        def resized(size: int) -> Path:
            mount(place, f"size={size}")
            return place

        yield resized


def test_on_a_full_disk_it_says_so_and_goes_on_when_there_is_room(
    undisturbed: tuple[Path, Bundle], small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    project, expected = undisturbed
    needed = size_of(project / "kept")
    place = small_disk(2 * size_of(project))
    folder = again(project, place / "p", kept=False)
    given = shutil.disk_usage(place).used
    for share in (0.2, 0.8):
        small_disk(int(given + share * needed))
        running = command(folder, subprocess.PIPE)
        _, message = running.communicate(timeout=300)
        assert running.returncode == 2
        assert b"No space left on device" in message
        assert b"Traceback" not in message
        assert not (folder / "out").exists()
        assert not list(folder.rglob("*.part"))
    small_disk(2 * size_of(project))
    assert command(folder).wait(300) == 0
    assert result(read_bundle(folder / "out")) == result(expected)


def size_of(folder: Path) -> int:
    """Bytes that a folder takes on a disk, in blocks of 4 KiB."""
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in folder.rglob("*") if p.is_file())


def workers_of(folder: Path) -> list[int]:
    """Processes that work in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if place.readlink() == folder:
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found


def test_whatever_is_damaged_is_made_anew(undisturbed: tuple[Path, Bundle], tmp_path: Path) -> None:
    from palm_engine.pipeline.build import build

    project, expected = undisturbed
    folder = again(project, tmp_path / "p", kept=True)
    config = load_config(folder / "tiny.toml")
    files = sorted(
        p
        for p in (folder / "kept").rglob("*")
        if p.is_file() and not p.name.startswith(".") and p.suffix != ".key"
    )
    # One of each kind: as many stages are done again.
    kinds = {(p.parent.relative_to(folder).parts[:3], p.suffix): p for p in files}
    assert len(kinds) >= 8
    for path in kinds.values():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
    recorder = Recorder()
    bundle = build(config, folder, folder / "out", recorder, folder / "kept")
    assert result(bundle) == result(expected)
    assert {"Score the pool", "Train adapters", "Score answers"} <= set(recorder.stages)
    calm = Recorder()
    build(config, folder, folder / "out", calm, folder / "kept")
    assert calm.stages == ["Select and certify"]


def turned(path: Path) -> None:
    """One bit of a file is another."""
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def cut(path: Path) -> None:
    """Half of a file is gone."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


DAMAGES: tuple[Callable[[Path], None], ...] = (turned, cut, Path.unlink)


@pytest.mark.timeout(7200 if EACH_FILE else 600)
def test_each_stored_file_may_be_damaged_or_gone(
    undisturbed: tuple[Path, Bundle], tmp_path: Path
) -> None:
    """Some of them here; `PALM_FILES=all` takes each, in every way."""
    from palm_engine.pipeline.build import build

    project, expected = undisturbed
    folder = again(project, tmp_path / "p", kept=True)
    config = load_config(folder / "tiny.toml")
    files = sorted(
        p for p in (folder / "kept").rglob("*") if p.is_file() and not p.name.startswith(".")
    )
    assert {p.suffix for p in files} >= {".key", ".parquet", ".json", ".safetensors"}
    cases = [(path, damage) for path in files for damage in DAMAGES]
    if not EACH_FILE:
        cases = random.Random(2).sample(cases, 9)
    for path, damage in cases:
        # Each from whole files: a report that is lost stays lost.
        shutil.rmtree(folder / "kept")
        shutil.copytree(project / "kept", folder / "kept")
        damage(path)
        log = Recorder()
        bundle = build(config, folder, folder / "out", log, folder / "kept")
        where = f"{path.relative_to(folder)}, {damage.__name__}"
        found, wanted = result(bundle), result(expected)
        lost = [n for n in log.notes if "how that adapter's training went is left out" in n]
        for told in (found, wanted) if lost else ():
            # What is told of a training isn't worth training again.
            assert ".report.json" in path.name
            for candidate in (*told["candidates"], *told["outside"]):
                candidate["training"] = None
        assert found == wanted, where
        calm = Recorder()
        build(config, folder, folder / "out", calm, folder / "kept")
        assert calm.stages == ["Select and certify"], where


@pytest.mark.parametrize("name", LATER)
def test_later_commands_survive_kills_damage_and_full_disks(
    undisturbed: tuple[Path, Bundle],
    small_disk: Callable[[int], Path],
    tmp_path: Path,
    name: str,
) -> None:
    project, before = undisturbed
    more = [f"{s}-more-{i},any,{s},{s} more {i}?" for s in ("choose", "certify") for i in range(2)]
    words = (*LATER[name], "--out", "later", "--work", "kept-later", "--project", ".")
    words += ("--rewards", "tiny.toml", "--workers", "1")

    def ready(place: Path) -> Path:
        folder = again(project, place, kept=True)
        shutil.rmtree(folder / "kept")
        (folder / "more.csv").write_text("\n".join(["prompt_id,kind,split,text", *more]))
        return folder

    calm = ready(tmp_path / "calm")
    started = time.monotonic()
    assert command(calm, words=words).wait(300) == 0
    whole = time.monotonic() - started
    expected = result(read_bundle(calm / "later"))
    folder = ready(tmp_path / "p")
    rng = random.Random(3)
    killed = 0
    for _ in range(KILLS // 2):
        running = command(folder, words=words)
        try:
            running.wait(rng.uniform(2.0, whole))
        except subprocess.TimeoutExpired:
            killed += 1
            running.send_signal(signal.SIGKILL)
            running.wait(10)
        if (folder / "later").is_dir():
            assert result(read_bundle(folder / "later")) == expected
            shutil.rmtree(folder / "later")
            shutil.rmtree(folder / "kept-later")
    assert killed
    assert result(read_bundle(folder / "out")) == result(before), "what was there stays"
    assert command(folder, words=words).wait(300) == 0
    assert result(read_bundle(folder / "later")) == expected
    for path in sorted((folder / "kept-later").rglob("*.parquet")):
        turned(path)
    shutil.rmtree(folder / "later")
    assert command(folder, words=words).wait(300) == 0
    assert result(read_bundle(folder / "later")) == expected
    # A disk without room for what is drawn.
    place = small_disk(4 * size_of(folder))
    folder = ready(place / "p")
    given = shutil.disk_usage(place).used
    small_disk(given + 8192)
    running = command(folder, subprocess.PIPE, words)
    _, message = running.communicate(timeout=300)
    assert running.returncode == 2, message
    assert b"No space left on device" in message
    assert b"Traceback" not in message
    assert not (folder / "later").exists()
    small_disk(given + 4 * size_of(calm))
    assert command(folder, words=words).wait(300) == 0
    assert result(read_bundle(folder / "later")) == expected


def test_two_builds_on_one_folder_and_a_stale_lock(
    undisturbed: tuple[Path, Bundle], tmp_path: Path
) -> None:
    from palm_engine.pipeline.build import build
    from palm_engine.pipeline.store import Store

    project, expected = undisturbed
    folder = again(project, tmp_path / "p", kept=True)
    config = load_config(folder / "tiny.toml")
    # Left by a process that was killed: nobody holds it.
    (folder / "kept" / ".lock").touch()
    with (
        Store(folder / "kept").held(),
        pytest.raises(ConfigError, match=f"process {os.getpid()} on .* works there"),
    ):
        build(config, folder, folder / "out", Recorder(), folder / "kept")
    bundle = build(config, folder, folder / "out", Recorder(), folder / "kept")
    assert result(bundle) == result(expected)


def test_a_changed_prompt_redoes_what_depends_on_it(
    undisturbed: tuple[Path, Bundle], tmp_path: Path
) -> None:
    from palm_engine.pipeline.build import build

    project, expected = undisturbed
    folder = again(project, tmp_path / "p", kept=True)
    prompts = folder / "prompts.csv"
    prompts.write_text(prompts.read_text().replace("certify 1?", "certify one?"))
    recorder = Recorder()
    bundle = build(
        load_config(folder / "tiny.toml"), folder, folder / "out", recorder, folder / "kept"
    )
    assert recorder.stages == ["Draw answers (certify)", "Score answers", "Select and certify"]
    assert (
        bundle.manifest.candidates[0].evaluated["choose"]
        == (expected.manifest.candidates[0].evaluated["choose"])
    )


def test_a_changed_chat_template_draws_everything_anew(
    undisturbed: tuple[Path, Bundle], tmp_path: Path
) -> None:
    from palm_engine.pipeline.build import build

    project, _ = undisturbed
    folder = again(project, tmp_path / "p", kept=True)
    base = Path(shutil.copytree(load_config(folder / "tiny.toml").base, tmp_path / "base"))
    text = (folder / "tiny.toml").read_text()
    own = next(line for line in text.splitlines() if line.startswith("base = "))
    edited(folder / "tiny.toml", (own, f'base = "{base}"'))
    config = load_config(folder / "tiny.toml")
    stages = []
    for ending in ("", "!", "!"):
        template = base / "chat_template.jinja"
        template.write_text(template.read_text().rstrip("!") + ending)
        recorder = Recorder()
        build(config, folder, folder / "out", recorder, folder / "new")
        stages.append([s for s in recorder.stages if s.startswith(("Draw", "Train"))])
    assert stages[1] == stages[0] != []
    assert stages[2] == []


def test_a_worker_that_the_system_ends_is_said_and_the_build_goes_on(
    undisturbed: tuple[Path, Bundle], tmp_path: Path
) -> None:
    project, expected = undisturbed
    folder = again(project, tmp_path / "p", kept=False)
    edited(folder / "tiny.toml", ("workers = 1", "workers = 2"))
    running = command(folder, subprocess.PIPE)
    deadline = time.monotonic() + 120
    # As a system that is out of memory does it.
    while not (workers := drawing(running.pid)):
        assert running.poll() is None, "the build ended without a worker"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(workers[0], signal.SIGKILL)
    _, message = running.communicate(timeout=120)
    assert running.returncode == 2
    assert b"was ended from outside, perhaps for want of memory" in message
    assert b"Traceback" not in message
    assert command(folder).wait(300) == 0
    found = read_bundle(folder / "out")
    assert (found.policies, found.members) == (expected.policies, expected.members)
    assert found.points == pytest.approx(expected.points)


def drawing(parent: int) -> list[int]:
    """Worker processes of a build."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            of = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if of == parent and b"spawn_main" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def test_a_clock_that_jumps_changes_nothing(
    undisturbed: tuple[Path, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from palm_engine.pipeline.build import build

    project, expected = undisturbed
    folder = again(project, tmp_path / "p", kept=False)
    true = time.time
    rng = random.Random(2)
    monkeypatch.setattr(time, "time", lambda: true() + rng.uniform(-1e6, 1e6))
    config = load_config(folder / "tiny.toml")
    bundle = build(config, folder, folder / "out", Recorder(), folder / "kept")
    assert result(bundle) == result(expected)
    # Files of tomorrow and of long ago are as good as any.
    for i, path in enumerate(sorted((folder / "kept").rglob("*"))):
        when = true() + (1e5 if i % 2 else -1e9)
        os.utime(path, (when, when))
    calm = Recorder()
    build(config, folder, folder / "again", calm, folder / "kept")
    assert calm.stages == ["Select and certify"]


def test_a_server_that_is_lost_is_said_and_the_build_goes_on(tmp_path: Path) -> None:
    from palm_engine.pipeline.build import build

    bundles = []
    for lost in (False, True):
        folder = tmp_path / f"{lost}"
        folder.mkdir()
        config = write_project(folder)
        asked = 0

        def refuse(body: dict[str, Any], lost: bool = lost) -> str | None:
            nonlocal asked
            asked += 1
            return "gone" if lost and asked == 4 else None

        with fake_server(["far"], reply=lambda body: "aeio AAAA", refuse=refuse) as (url, _):
            remote = f'[[policies]]\nname = "far"\nurl = "{url}"\nmodel = "far"\n\n[[traits]]'
            edited(
                config,
                ("[[traits]]", remote),
                ('base = "', 'train = false\nbase = "'),
                ("[rounds]\ncount = 1\nanswers = 1\n", ""),
                ("[soups]\ncount = 2\n", ""),
                ('lora-100-00 = "Low"', 'far = "Far"'),
            )
            if lost:
                with pytest.raises(PalmError, match="gone"):
                    build(load_config(config), folder, folder / "out", Recorder(), folder / "kept")
                assert not (folder / "out").exists()
            made = build(load_config(config), folder, folder / "out", Recorder(), folder / "kept")
        bundles.append(made)
    assert bundles[0].members == bundles[1].members
    assert bundles[0].points == pytest.approx(bundles[1].points)
