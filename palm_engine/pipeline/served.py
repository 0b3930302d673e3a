"""Draws a build's answers from servers with OpenAI's interface: more servers draw more at once.

The base under system prompts answers as the server's own model. An adapter that the build has
trained is loaded into each server by its path, as vLLM does it at run time, and unloaded after its
answers. What is drawn is kept in parts: a build that is stopped goes on with the part in hand.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from palm_engine.errors import ConfigError, GenerationError
from palm_engine.pipeline.config import Sampling
from palm_engine.pipeline.parts import Asked, kept_in_parts, rows_of
from palm_engine.pipeline.remote import (
    LostServerError,
    RemoteTask,
    ask,
    client_of,
    frame_of,
    reason_of,
    reply_key,
    require_model,
)
from palm_engine.pipeline.sample import DrawTask
from palm_engine.pipeline.store import Store, key_of

# How often a request is sent again, after longer and longer pauses (the client's own).
RETRIES = 8
ALLOW = "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"


class Servers:
    """The servers that a configuration names for drawing.

    Args:
        sampling: names them, and how many requests each gets at once.
    """

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        options = {"max_retries": RETRIES, "timeout": sampling.seconds}
        self._clients = {
            url: client_of(url, sampling.key_variable, **options) for url in sampling.urls
        }

    def require(self, adapters: bool) -> None:
        """Check that every server is there and has the base; that it takes adapters, if need be.

        Args:
            adapters: whether some will have to be loaded.

        Raises:
            ConfigError: one doesn't; says which and how to start it.
        """
        for url, client in self._clients.items():
            require_model(client, url, self.sampling.model, "sampling")
            if adapters and self._post(url, "load_lora_adapter", {}) == 404:
                raise ConfigError(
                    f"sampling.urls: {url} doesn't load adapters at run time; start vLLM with"
                    f" --enable-lora and {ALLOW} in its environment"
                )

    def draw(
        self,
        task: DrawTask,
        name: str,
        key: str,
        store: Store,
        count: Callable[[Sequence[str]], list[int]],
        progress: Callable[[float], None] = lambda _: None,
    ) -> pd.DataFrame:
        """The task's answers; columns ANSWER_COLUMNS and `finish_reason`.

        Args:
            task: what is drawn.
            name: under which it is kept.
            key: what its answers depend on.
            store: keeps it, and parts of it until it is whole.
            count: lengths of texts in the base model's tokens.
            progress: gets 1 for each answer.

        Raises:
            GenerationError: a server refuses, or can't be reached any more.
        """
        rows = rows_of(task.prompts, task.samples)
        with ExitStack() as stack:
            model: str | None = None

            def some(part: Sequence[Asked]) -> pd.DataFrame:
                nonlocal model
                model = model or stack.enter_context(self._model_of(task))
                return self._drawn(task, model, part, count, progress)

            return kept_in_parts(name, key, rows, store, some, progress)

    def _drawn(
        self,
        task: DrawTask,
        model: str,
        rows: Sequence[Asked],
        count: Callable[[Sequence[str]], list[int]],
        progress: Callable[[float], None],
    ) -> pd.DataFrame:
        remote = RemoteTask(
            task.policy, "", model, task.system or "", (), 1, task.settings, task.seed
        )
        remote = replace(remote, extras=self.sampling.extras)
        work = _Work(rows)

        def serve(url: str, client: Any) -> None:
            """One request after another, until there is none left or the server is lost."""
            while (number := work.take()) is not None:
                pid, prompt, sample = rows[number]
                # A seed of its own for each answer: which server draws it makes no difference.
                seed = reply_key(task.seed, task.policy, pid, sample)
                try:
                    work.done(
                        number, ask(client, replace(remote, url=url), prompt, seed, task.template)
                    )
                except LostServerError as error:
                    work.give_back(number, error)
                    return
                except BaseException as error:
                    work.fail(error)
                    return
                progress(1)

        # In turns, so that few requests are spread too.
        each = min(self.sampling.concurrency, -(-len(rows) // len(self._clients)))
        workers = [
            threading.Thread(target=serve, args=pair, daemon=True)
            for _ in range(each)
            for pair in self._clients.items()
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return frame_of(task.policy, rows, work.answers(), count)

    @contextmanager
    def _model_of(self, task: DrawTask) -> Iterator[str]:
        """The model that answers as the task's policy; an adapter is loaded for as long."""
        from palm_engine.lm.adapters.files import adapter_sha256

        if task.adapter is None:
            yield self.sampling.model
            return
        # By content: a server that still has an older one doesn't answer as that.
        name = f"{task.policy}-{adapter_sha256(task.adapter)[:12]}"
        loaded = []
        try:
            for url in self._clients:
                self._load(url, name, task.adapter)
                loaded.append(url)
            yield name
        finally:
            for url in loaded:
                with suppress(GenerationError):  # one that is gone has unloaded it
                    self._post(url, "unload_lora_adapter", {"lora_name": name})

    def _load(self, url: str, name: str, folder: Path) -> None:
        content = {"lora_name": name, "lora_path": str(folder.resolve())}
        reasons: list[str] = []
        status = self._post(url, "load_lora_adapter", content, reasons)
        if status != 200 and not any("already" in reason for reason in reasons):
            raise GenerationError(
                f"{url}: can't load the adapter {folder} ({'; '.join(reasons) or status}); the"
                " server must see this folder, take its rank (--max-lora-rank), and have"
                f" {ALLOW} in its environment"
            )

    def _post(
        self, url: str, what: str, content: dict[str, Any], reasons: list[str] | None = None
    ) -> int:
        """Ask a server for something beside OpenAI's interface; the status of its answer.

        Raises:
            GenerationError: it can't be reached.
        """
        import openai

        client = self._clients[url].with_options(max_retries=2)
        try:
            client.post(f"/{what}", cast_to=str, body=content)
        except openai.APIStatusError as error:
            if reasons is not None:
                reasons.append(reason_of(error))
            return int(error.status_code)
        except openai.OpenAIError as error:
            raise GenerationError(f"{url}: can't be reached ({reason_of(error)})") from error
        return 200


class _Work:
    """Requests that several servers share: each takes the next as soon as it is free.

    What a lost server has taken is taken by another: nobody ends while a request may come back.
    """

    def __init__(self, rows: Sequence[Asked]) -> None:
        self._left = deque(range(len(rows)))
        self._answers: list[tuple[str, str] | None] = [None] * len(rows)
        self._error: BaseException | None = None
        self._failed = False
        self._running = 0
        self._changed = threading.Condition()

    def take(self) -> int | None:
        """The number of the next request; None where all are answered, or something failed."""
        with self._changed:
            while not self._left and self._running and not self._failed:
                self._changed.wait()
            if self._failed or not self._left:
                return None
            self._running += 1
            return self._left.popleft()

    def done(self, number: int, answer: tuple[str, str]) -> None:
        """Keep an answer."""
        with self._changed:
            self._answers[number] = answer
            self._end()

    def give_back(self, number: int, error: BaseException) -> None:
        """Leave a request to another server."""
        with self._changed:
            self._left.append(number)
            self._error = error
            self._end()

    def fail(self, error: BaseException) -> None:
        """End: another server would refuse it too."""
        with self._changed:
            self._error = error
            self._failed = True
            self._end()

    def _end(self) -> None:
        """One request less runs; whoever waits looks again."""
        self._running -= 1
        self._changed.notify_all()

    def answers(self) -> list[tuple[str, str]]:
        """All answers.

        Raises:
            GenerationError: some are missing; says why.
        """
        found = [answer for answer in self._answers if answer is not None]
        if len(found) < len(self._answers):
            assert self._error is not None
            raise self._error
        return found


def served_key(task: DrawTask, model: str) -> str:
    """What a task's answers depend on, where servers draw them: which server does not matter."""
    from palm_engine.lm.adapters.files import adapter_sha256

    content = "" if task.adapter is None else adapter_sha256(task.adapter)
    return key_of(replace(task, batch_size=1), content, ["openai", model])
