"""Users and traffic, in SQLite and in a real PostgreSQL: one suite for both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from palm_engine.errors import InvalidInputError
from palm_engine.serving.profiles.database import Database
from palm_engine.serving.profiles.profile import Asked
from palm_engine.serving.profiles.recorder import Recorder
from palm_engine.serving.profiles.store import Profiles
from tests.support.databases import postgresql


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'users.db'}"
    return str(request.getfixturevalue("server"))


@pytest.fixture
def profiles(url: str) -> Iterator[Profiles]:
    database = Database(url)
    made = Profiles(database)
    yield made
    for table in reversed(database.tables.metadata.sorted_tables):
        table.drop(database.engine)
    database.close()


def asked(user: str | None = None, prompt: str | None = None, humor: float = 1.0) -> Asked:
    weights = {"safety": 1 - humor, "humor": humor}
    return Asked(datetime.now(UTC), weights, "set", "m1", 0.01, "mine", user, prompt)


def test_weights_are_kept_with_source_and_history(profiles: Profiles) -> None:
    assert profiles.get("ada") is None
    profiles.set("ada", {"safety": 3, "humor": 1})
    profiles.set("ada", {"safety": 0, "humor": 2}, "asked")
    profiles.set("Zoë/7 ", {"safety": 1, "humor": 1}, "default")
    found = profiles.get("ada")
    assert found is not None
    assert found.weights == {"safety": 0.0, "humor": 1.0}
    assert found.source == "asked"
    assert abs((datetime.now(UTC) - found.at).total_seconds()) < 60
    history = profiles.history("ada")
    assert [p.weights["safety"] for p in history] == [0.75, 0.0]
    assert [p.source for p in history] == ["set", "asked"]
    assert {p.user for p in profiles.all()} == {"ada", "Zoë/7 "}


@pytest.mark.parametrize(
    ("user", "weights", "source", "named"),
    [
        ("", {"a": 1.0}, "set", "user"),
        ("x" * 257, {"a": 1.0}, "set", "user"),
        ("a\nb", {"a": 1.0}, "set", "user"),
        ("a", {"a": -1.0, "b": 2.0}, "set", "weights"),
        ("a", {"a": 0.0, "b": 0.0}, "set", "weights"),
        ("a", {"a": float("nan")}, "set", "weights"),
        ("a", {"a": 1.0}, "guessed", "source"),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_kept(
    profiles: Profiles, user: str, weights: dict[str, float], source: str, named: str
) -> None:
    with pytest.raises(InvalidInputError, match=named):
        profiles.set(user, weights, source)  # type: ignore[arg-type]
    assert list(profiles.all()) == []


def test_deletion_deletes_profile_history_and_recorded_prompts(profiles: Profiles) -> None:
    profiles.set("ada", {"safety": 1, "humor": 1})
    profiles.set("bob", {"safety": 1, "humor": 1})
    profiles.record([asked("ada", "a secret question"), asked("bob", "another"), asked()])
    assert profiles.delete("ada")
    assert not profiles.delete("ada")
    assert profiles.get("ada") is None
    assert profiles.history("ada") == []
    assert [(r.user, r.prompt) for r in profiles.traffic()] == [("bob", "another"), (None, None)]


def test_nothing_of_a_deleted_user_stays_in_the_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'users.db'}")
    profiles = Profiles(database)
    for i in range(300):
        profiles.set(f"user-{i}", {"safety": 1, "humor": i})
    profiles.record([asked("user-7", "my-secret-question")] * 3)
    for i in range(0, 300, 7):
        assert profiles.delete(f"user-{i}")
    left = b"".join(f.read_bytes() for f in tmp_path.iterdir())
    assert b"user-8" in left
    assert b"my-secret-question" not in left
    assert b"user-287" not in left
    database.close()


def test_a_user_deleted_before_traffic_is_written_stays_deleted(profiles: Profiles) -> None:
    profiles.set("ada", {"safety": 1, "humor": 1})
    waiting = [asked("ada", "a question")]
    profiles.delete("ada")
    profiles.record(waiting)
    assert list(profiles.traffic()) == []


def test_writers_at_the_same_time_lose_nothing(url: str, profiles: Profiles) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        own = Database(url)
        try:
            mine = Profiles(own)
            for i in range(15):
                mine.set("shared", {"safety": number + 1, "humor": i})
                mine.record([asked()])
        except BaseException as error:
            failed.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(profiles.history("shared")) == 60
    assert len(list(profiles.traffic())) == 60
    assert len(list(profiles.all())) == 1


def test_recorded_traffic_comes_back_in_order(profiles: Profiles) -> None:
    recorder = Recorder(profiles)
    for i in range(2500):
        recorder.add(asked(humor=i / 2500))
    recorder.close()
    found = list(profiles.traffic())
    assert [r.weights["humor"] for r in found] == [i / 2500 for i in range(2500)]
    assert found[0].policy == "m1"
    assert recorder.dropped == 0


def test_traffic_that_cannot_be_written_is_counted_and_nobody_waits(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'users.db'}")
    database.tables.traffic.drop(database.engine)
    recorder = Recorder(Profiles(database))
    recorder.add(asked())
    recorder.close()
    assert recorder.dropped == 1


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("nonsense", "no URL"),
        ("mysql://a@b/c", "mysql"),
        ("sqlite:////no/such/folder/x.db", "can't be opened"),
        ("postgresql://nobody:secret@127.0.0.1:1/x", "can't be opened"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(url: str, named: str) -> None:
    with pytest.raises(InvalidInputError, match=named) as failed:
        Database(url)
    assert "secret" not in str(failed.value)


def test_tables_of_another_version_are_refused(tmp_path: Path) -> None:
    from sqlalchemy import update

    where = f"sqlite:///{tmp_path / 'users.db'}"
    database = Database(where)
    with database.engine.begin() as connection:
        connection.execute(update(database.tables.about).values(version=99))
    database.close()
    with pytest.raises(InvalidInputError, match="version 99"):
        Database(where)


def test_a_deletion_between_two_steps_of_recording_leaves_nothing(
    profiles: Profiles, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import event

    profiles.set("ada", {"safety": 1, "humor": 1})
    other = Profiles(Database(url))
    deleting: list[threading.Thread] = []

    def delete_now(_c: object, _cur: object, statement: str, *_: object) -> None:
        if statement.lstrip().upper().startswith("SELECT") and not deleting:
            thread = threading.Thread(target=other.delete, args=("ada",))
            deleting.append(thread)
            thread.start()
            # SQLite: done before the insertion; PostgreSQL: waits for it.
            thread.join(1.0)

    event.listen(profiles.database.engine, "after_cursor_execute", delete_now)
    profiles.record([asked("ada", "my secret")])
    event.remove(profiles.database.engine, "after_cursor_execute", delete_now)
    assert deleting
    deleting[0].join(30)
    assert other.get("ada") is None
    assert list(other.traffic()) == []
    other.database.close()


def test_what_a_database_cannot_hold_costs_nothing_else(profiles: Profiles) -> None:
    recorder = Recorder(profiles)
    recorder.add(asked(prompt="a\0b"))
    recorder.add(asked(prompt="fine"))
    recorder.close()
    assert [r.prompt for r in profiles.traffic()] == ["ab", "fine"]
    assert recorder.dropped == 0


def test_several_open_a_fresh_database_at_the_same_time(tmp_path: Path, server: str) -> None:
    failed: list[BaseException] = []

    def work(url: str, ready: threading.Barrier) -> None:
        try:
            ready.wait(30)
            Database(url).close()
        except BaseException as error:
            failed.append(error)

    for url in (f"sqlite:///{tmp_path / 'fresh.db'}", server):
        ready = threading.Barrier(4)
        threads = [threading.Thread(target=work, args=(url, ready)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []
    database = Database(server)
    for table in reversed(database.tables.metadata.sorted_tables):
        table.drop(database.engine)
    database.close()


def test_neither_prompts_nor_passwords_are_in_messages(tmp_path: Path) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    database = Database(f"sqlite:///{tmp_path / 'users.db'}")
    database.tables.traffic.drop(database.engine)
    with pytest.raises(SQLAlchemyError) as failed:
        Profiles(database).record([asked(prompt="my secret question")])
    assert "my secret question" not in str(failed.value)
    database.close()
    with pytest.raises(InvalidInputError) as refused:
        Database("postgresql:/ada:hunter2@host/x y z")
    assert "hunter2" not in str(refused.value)


def test_traffic_of_several_bundles_is_not_mixed(profiles: Profiles) -> None:
    from dataclasses import replace

    from palm_engine.serving.profiles.export import traffic_table

    profiles.record([asked(), replace(asked(), bundle="other", weights={"wit": 1.0})])
    with pytest.raises(InvalidInputError, match="mine, other: name one"):
        traffic_table(profiles.traffic())
    table, _ = traffic_table(profiles.traffic(), bundle="mine")
    assert list(table.columns) == ["humor", "safety", "count", "segment"]
