"""Tasks on a Ray cluster: one that runs already, or one of this machine made for the build.

A task whose worker or node is lost is tried again elsewhere. Ray moves tasks and results; adapters
and the work folder lie on storage that all nodes see.
"""

from __future__ import annotations

import logging
import os
import queue
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from palm_engine.errors import ConfigError, DependencyError, GenerationError
from palm_engine.pipeline.engines.interface import Result, Task

# How often a task is tried again whose worker or node was lost.
RETRIES = 5
# Seconds between two looks at what is done.
LOOK = 0.5


class RayEngine:
    """A Ray cluster, as a context: it is left, or ended where it was made, at the end.

    Args:
        folder: that tasks write into; all nodes must see it.
        address: of a cluster, as ray start prints it, or "auto"; None makes one on this machine.
        cpus: processor cores of each task, at least 1.
        gpus: of each task; a fraction shares one.
    """

    scores = True

    def __init__(
        self, folder: Path, address: str | None = None, cpus: int = 1, gpus: float = 0.0
    ) -> None:
        self.folder = folder
        self.address = address
        self.cpus = cpus
        self.gpus = gpus
        self._made = False

    def __enter__(self) -> RayEngine:
        """Join the cluster, or make one.

        Raises:
            DependencyError: the extra 'ray' isn't installed.
            ConfigError: there is no cluster at the address, it has too little for a task, or a node
                doesn't see the folder.
        """
        # Nothing is sent anywhere, and nothing but the build is seen in the terminal.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as error:
            raise DependencyError(
                "--engine ray needs the extra 'ray': pip install -e '.[ray]'"
            ) from error
        if not ray.is_initialized():
            options: dict[str, Any] = {} if self.address else {"include_dashboard": False}
            try:
                ray.init(
                    address=self.address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **options,
                )
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise ConfigError(
                    f"--address {self.address}: there is no Ray cluster ({_short(error)}); start"
                    " one with ray start --head, or leave --address out to make one here"
                ) from error
            self._made = True
        try:
            self._require_room()
            self._require_shared()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._made:
            import ray

            ray.shutdown()
            self._made = False

    def run(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        progress: Callable[[float], None] = lambda _: None,
    ) -> Iterator[tuple[Task, Result]]:
        """See Engine.

        Raises:
            GenerationError: workers or nodes were lost more often than it was tried again.
        """
        if not tasks:
            return
        import ray
        from ray.util.queue import Queue

        amounts: Any = Queue(actor_options={"num_cpus": 0, "max_restarts": -1})
        done = _Done(progress)
        remote = self._remote()
        waiting = {
            remote.remote(work, task, number, amounts, os.getcwd(), self.cpus): task
            for number, task in enumerate(tasks)
        }
        try:
            while waiting:
                ready, _ = ray.wait(list(waiting), timeout=LOOK)
                _drain(amounts, done)
                for reference in ready:
                    yield waiting.pop(reference), _result(reference)
            _drain(amounts, done)
        finally:
            # Also on Ctrl-C: what is finished was already written, the rest is not begun.
            for reference in waiting:
                ray.cancel(reference, force=True)
            amounts.shutdown(force=True)

    def once(self, work: Callable[[Task], Result], task: Task) -> Result:
        """See Engine."""
        return next(iter(self.run(work, [task])))[1]

    def _remote(self, **options: Any) -> Any:
        import ray

        return ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=RETRIES, **options)(
            _task
        )

    def _require_room(self) -> None:
        """Check that some node has what one task asks for.

        Raises:
            ConfigError: none has.
        """
        import ray

        nodes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
        if not any(n.get("CPU", 0) >= self.cpus and n.get("GPU", 0) >= self.gpus for n in nodes):
            there = "; ".join(f"{n.get('CPU', 0):g} CPU, {n.get('GPU', 0):g} GPU" for n in nodes)
            raise ConfigError(
                f"run.cpus_per_task = {self.cpus}, run.gpus_per_task = {self.gpus:g}: no node of"
                f" the cluster has as much (it has {there})"
            )

    def _require_shared(self) -> None:
        """Check that every node sees the folder that tasks write into.

        Raises:
            ConfigError: one doesn't.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = [n for n in ray.nodes() if n["Alive"]]
        if len(nodes) < 2 and self.address is None:
            return
        probe = self.folder.resolve() / f".seen-{uuid.uuid4().hex}"
        probe.touch()
        try:
            sees = ray.remote(num_cpus=0)(_sees)
            asked = {
                sees.options(
                    scheduling_strategy=NodeAffinitySchedulingStrategy(n["NodeID"], soft=False)
                ).remote(str(probe)): n["NodeManagerAddress"]
                for n in nodes
            }
            blind = [address for reference, address in asked.items() if not ray.get(reference)]
        finally:
            probe.unlink(missing_ok=True)
        if blind:
            raise ConfigError(
                f"{self.folder}: node {blind[0]} of the Ray cluster doesn't see this folder; name"
                " one on storage that all nodes share (--work)"
            )


class _Done:
    """What tasks reported; what the first try of a repeated one reported is taken back."""

    def __init__(self, progress: Callable[[float], None]) -> None:
        self.progress = progress
        self._tries: dict[int, tuple[str, float]] = {}

    def add(self, number: int, attempt: str, amount: float) -> None:
        known, sum_so_far = self._tries.get(number, (attempt, 0.0))
        if known != attempt:
            self.progress(-sum_so_far)
            sum_so_far = 0.0
        self._tries[number] = (attempt, sum_so_far + amount)
        self.progress(amount)


class _Reports:
    """Hands a worker's amounts to the build, whichever node it runs on."""

    def __init__(self, amounts: Any, number: int) -> None:
        self.amounts = amounts
        self.number = number
        self.attempt = uuid.uuid4().hex

    def put(self, amount: float) -> None:
        # Not waited for: what is reported is for people.
        self.amounts.actor.put_nowait.remote((self.number, self.attempt, amount))


def _task(
    work: Callable[[Task], Result], task: Task, number: int, amounts: Any, folder: str, cpus: int
) -> Result:
    """Run a task in a worker; its relative paths start where the build was started."""
    from palm_engine.pipeline.engines.worker import begin

    if Path(folder).is_dir():
        os.chdir(folder)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    begin(_Reports(amounts, number), cpus)
    return work(task)


def _sees(path: str) -> bool:
    return Path(path).exists()


def _drain(amounts: Any, done: _Done) -> None:
    from ray.exceptions import RayError

    try:
        for report in amounts.get_nowait_batch(amounts.qsize()):
            done.add(*report)
    except (queue.Empty, RayError):
        return


def _result(reference: Any) -> Any:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, Exception):
            raise cause from None
        raise GenerationError(f"a task failed: {_short(error)}") from error
    except RayError as error:
        raise GenerationError(
            f"a task was lost {RETRIES + 1} times with its worker or node ({_short(error)}); what"
            " is finished is kept: run the same again, with more memory or smaller run.batch_size"
        ) from error


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[-1] if lines else type(error).__name__)[:200]
