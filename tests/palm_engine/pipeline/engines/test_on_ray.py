"""A real build on a real cluster of two nodes, one of which is lost in the middle (slow)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")
ray = pytest.importorskip("ray")

from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.pipeline.build import build
from palm_engine.pipeline.config import load_config
from tests.support.builds import Recorder, edited, write_project

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray")
    edited(write_project(folder), ("count = 1", "count = 2"))
    return folder


@pytest.fixture(scope="module")
def undisturbed(project: Path) -> Bundle:
    """The same build in processes of this machine."""
    config = load_config(project / "tiny.toml")
    return build(config, project, project / "local", Recorder(), project / "kept-local")


@pytest.fixture
def nodes() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if ray.is_initialized():
        ray.shutdown()
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    ray.shutdown()
    made.shutdown()


def result(bundle: Bundle) -> dict[str, Any]:
    found = bundle.manifest.model_dump()
    found["built"]["created"] = ""
    return found


def names(work: Path) -> set[str]:
    return {str(p.relative_to(work)) for p in work.rglob("*.key") if not p.name.startswith(".")}


class Lossy(Recorder):
    """Takes a node away as soon as adapters are trained."""

    def __init__(self, cluster: Any, node: Any) -> None:
        super().__init__()
        self.cluster = cluster
        self.node = node
        self.lost = 0.0

    def stage(self, title: str, total: float) -> Any:
        if title == "Train adapters" and not self.lost:
            self.lost = time.monotonic()
            threading.Timer(2.0, self.cluster.remove_node, (self.node,)).start()
        return super().stage(title, total)


def test_a_lost_node_costs_a_retry_and_the_result_is_that_of_this_machine(
    project: Path, undisturbed: Bundle, nodes: Any
) -> None:
    node = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    progress = Lossy(nodes, node)
    config = load_config(project / "tiny.toml")
    work = project / "kept-ray"
    found = build(
        config,
        project,
        project / "on-ray",
        progress,
        work,
        on_ray=True,
        address=nodes.address,
    )
    assert progress.lost
    assert len([n for n in nodes.list_all_nodes() if n is not node]) == 1
    ours = result(found)
    theirs = result(undisturbed)
    assert ours["members"] == theirs["members"]
    assert ours["certificate"] == theirs["certificate"]
    assert ours["candidates"] == theirs["candidates"]
    assert found.samples.equals(undisturbed.samples)
    # The same store, the same keys: a build goes on under the other engine.
    assert names(work) == names(project / "kept-local")
    for name in names(work):
        own = (work / name).read_text().split()
        assert own == (project / "kept-local" / name).read_text().split(), name
    again = Recorder()
    build(config, project, project / "again", again, work)
    assert [s for s in again.stages if s != "Select and certify"] == []


def test_the_command_says_what_is_missing_and_is_not_noisy(project: Path, tmp_path: Path) -> None:
    def palm(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "palm_engine.cli.main", "build", "tiny.toml", *words],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )

    done = palm("--out", str(tmp_path / "x"), "--address", "auto")
    assert done.returncode == 2
    assert "--address goes with --engine ray" in done.stderr
    (tmp_path / "ray.py").write_text("raise ImportError('no ray')")
    missing = palm("--out", str(tmp_path / "x"), "--engine", "ray", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert missing.returncode == 2
    assert "needs the extra 'ray'" in missing.stderr
    assert "Traceback" not in missing.stderr
    (tmp_path / "ray.py").unlink()
    work = ["--work", str(tmp_path / "kept")]
    done = palm("--out", str(tmp_path / "made"), *work, "--engine", "ray")
    assert done.returncode == 0, done.stderr[-2000:]
    assert read_bundle(tmp_path / "made").members
    shown = done.stdout + done.stderr
    for noise in ("raylet", "INFO", "FutureWarning", "Started a local Ray", "dashboard"):
        assert noise not in shown, shown
    assert "Train adapters" in shown
