"""Draws what a build needs: answers of policies to the prompts of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from palm_engine.pipeline.config import BuildConfig
from palm_engine.pipeline.engines.interface import Engine
from palm_engine.pipeline.policy import Policy
from palm_engine.pipeline.progress import Progress
from palm_engine.pipeline.recorded import drawn
from palm_engine.pipeline.remote import RemoteTask, draw_remote
from palm_engine.pipeline.sample import DrawTask, draw, draw_key
from palm_engine.pipeline.served import Servers, served_key
from palm_engine.pipeline.store import Store, key_of


@dataclass(frozen=True)
class Drawing:
    """How a build draws.

    Attributes:
        config: of the build.
        prompts: prompt_id, split, text.
        store: keeps what is drawn.
        progress: what is reported to.
        engine: runs what is drawn from the base.
        servers: that draw in its place; None: the engine does.
        model_key: what answers depend on besides the task: the base and its number format.
    """

    config: BuildConfig
    prompts: pd.DataFrame
    store: Store
    progress: Progress
    engine: Engine
    servers: Servers | None
    model_key: list[str]

    def draw(
        self, policies: list[Policy], purpose: str, split: str, samples: int
    ) -> list[pd.DataFrame]:
        """Answers of each policy to the prompts of `split`, drawn where they are not there yet.

        A file holds one policy and one split: new certify prompts need no new choose answers.
        """
        wanted = self.prompts[self.prompts["split"] == split]
        pairs = tuple(zip(wanted["prompt_id"], wanted["text"], strict=True))
        tasks = [
            DrawTask(
                self.config.base,
                self.config.template,
                p.name,
                p.system,
                p.adapter,
                pairs,
                samples,
                self.config.sampling.plain,
                self.config.seed,
                self.config.run.batch_size,
            )
            for p in policies
        ]
        if self.servers is not None:
            return self._from_servers(self.servers, tasks, purpose)
        return drawn(
            draw,
            tasks,
            [draw_key(t, self.model_key) for t in tasks],
            self.store,
            partial(self.progress.stage, f"Draw answers ({purpose})"),
            self.engine,
            f"-{purpose}",
        )

    def _from_servers(
        self, servers: Servers, tasks: Sequence[DrawTask], purpose: str
    ) -> list[pd.DataFrame]:
        """Answers of each task, kept under the same names as those drawn here."""
        from palm_engine.lm.base_model.load import token_counter
        from palm_engine.lm.base_model.source import resolve_base

        keys = [served_key(task, self.config.sampling.model) for task in tasks]
        names = [f"draws/{task.policy}-{purpose}" for task in tasks]
        pairs = list(zip(tasks, names, keys, strict=True))
        missing = [p for p in pairs if not self.store.is_current(f"{p[1]}.parquet", p[2])]
        if missing:
            total = sum(task.count for task, _, _ in missing)
            done = self.progress.stage(f"Draw answers ({purpose})", total)
            count = token_counter(resolve_base(self.config.base, self.progress.note))
            for task, name, key in missing:
                frame = servers.draw(task, name, key, self.store, count, done)
                self.store.put_table(f"{name}.parquet", key, frame)
                servers.forget(task, name, self.store)
        return [pd.read_parquet(self.store.path(f"{name}.parquet")) for name in names]

    def ask(self, policy: Policy, split: str, samples: int) -> pd.DataFrame:
        """Answers of a served policy to the prompts of `split`, asked where they are not there."""
        from palm_engine.lm.base_model.load import token_counter
        from palm_engine.lm.base_model.source import resolve_base

        assert policy.served is not None
        url, model, extras = policy.served
        wanted = self.prompts[self.prompts["split"] == split]
        task = RemoteTask(
            policy.name,
            url,
            model,
            policy.system,
            tuple(zip(wanted["prompt_id"], wanted["text"], strict=True)),
            samples,
            self.config.sampling.plain,
            self.config.seed,
            extras,
        )
        name = f"draws/{policy.name}-{split}.parquet"
        if not self.store.is_current(name, key_of(task)):
            done = self.progress.stage(f"Ask {policy.name} ({split})", len(wanted) * samples)
            count = token_counter(resolve_base(self.config.base, self.progress.note))
            frame = draw_remote(task, count, done)
            self.store.put_table(name, key_of(task), frame)
        return pd.read_parquet(self.store.path(name))
