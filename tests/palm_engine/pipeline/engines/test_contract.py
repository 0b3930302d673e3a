"""What every engine does: one suite for processes of this machine and for Ray (slow)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from palm_engine.errors import ConfigError, GenerationError, ModelSourceError
from palm_engine.pipeline.engines.interface import Engine
from palm_engine.pipeline.engines.local import LocalEngine
from palm_engine.pipeline.engines.on_ray import RayEngine
from tests.support import tasks
from tests.support.tasks import Number

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayEngine]:
    pytest.importorskip("ray")
    with RayEngine(tmp_path_factory.mktemp("shared")) as made:
        yield made


@pytest.fixture(params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "local":
        return LocalEngine(2)
    found: RayEngine = request.getfixturevalue("cluster")
    return found


def test_every_task_gives_its_result_and_reports_its_progress(
    engine: Engine, tmp_path: Path
) -> None:
    given = [Number(i, tmp_path) for i in range(5)]
    amounts: list[float] = []
    found = dict(engine.run(tasks.square, given, amounts.append))
    assert {t.value: result[0] for t, result in found.items()} == {i: i * i for i in range(5)}
    assert sum(amounts) == pytest.approx(5)
    assert list(engine.run(tasks.square, [])) == []


def test_what_a_task_raises_comes_out_as_it_is(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ModelSourceError) as failed:
        list(engine.run(tasks.refuse, [Number(i, tmp_path) for i in range(5)]))
    assert str(failed.value) == "3 can't be squared: give another number"


def test_whoever_stops_looking_stops_the_work(engine: Engine, tmp_path: Path) -> None:
    running = engine.run(tasks.slow, [Number(i, tmp_path) for i in range(2)])
    assert next(iter(running))[1] == "done"
    started = time.monotonic()
    if isinstance(engine, RayEngine):
        running.close()  # type: ignore[attr-defined]
        assert time.monotonic() - started < 30


def test_relative_paths_start_where_the_build_does(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert engine.once(tasks.where, None) == str(tmp_path)


def test_a_worker_that_dies_costs_a_retry(cluster: RayEngine, tmp_path: Path) -> None:
    amounts: list[float] = []
    given = [Number(i, tmp_path) for i in range(2)]
    found = dict(cluster.run(tasks.die_once, given, amounts.append))
    assert sorted(result[0] for result in found.values()) == [0, 1]
    # What the first try reported isn't counted twice.
    assert sum(amounts) == pytest.approx(2)


def test_a_worker_that_always_dies_is_said_to(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palm_engine.pipeline.engines.on_ray.RETRIES", 1)
    with pytest.raises(GenerationError, match="finished is kept"):
        list(engine.run(tasks.always_die, [Number(1, tmp_path)]))


def test_a_task_that_no_node_has_room_for_is_refused(cluster: RayEngine, tmp_path: Path) -> None:
    assert cluster.scores
    with pytest.raises(ConfigError, match="gpus_per_task = 3"), RayEngine(tmp_path, gpus=3):
        pass


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    import ray

    was_running: Any = ray.is_initialized()
    if was_running:
        ray.shutdown()
    with pytest.raises(ConfigError, match="there is no Ray cluster"):
        RayEngine(tmp_path, address="auto").__enter__()
