"""Draws what a build needs: answers of policies to the prompts of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from palm_engine.pipeline.config import BuildConfig
from palm_engine.pipeline.engines.interface import Engine
from palm_engine.pipeline.mixture import MixTask, draw_mixture, mixture_key
from palm_engine.pipeline.policy import Policy
from palm_engine.pipeline.progress import Progress
from palm_engine.pipeline.recorded import drawn
from palm_engine.pipeline.remote import RemoteTask, client_of, draw_remote, require_model
from palm_engine.pipeline.sample import DrawTask, draw, draw_key
from palm_engine.pipeline.served import Servers, served_key
from palm_engine.pipeline.store import Store

# Splits to whose prompts served policies answer.
ASKED = ("choose", "certify")


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
        kept = (
            self.store,
            partial(self.progress.stage, f"Draw answers ({purpose})"),
            self.engine,
            f"-{purpose}",
            self.progress.note,
        )
        mixed = [
            MixTask(t, p.mixture)
            for t, p in zip(tasks, policies, strict=True)
            if p.mixture is not None
        ]
        apart = {t.policy for t in mixed}
        tasks = [t for t in tasks if t.policy not in apart]
        frames = drawn(draw, tasks, [draw_key(t, self.model_key) for t in tasks], *kept)
        keys = [mixture_key(t, self.model_key) for t in mixed]
        return frames + drawn(draw_mixture, mixed, keys, *kept)

    def _from_servers(
        self, servers: Servers, tasks: Sequence[DrawTask], purpose: str
    ) -> list[pd.DataFrame]:
        """Answers of each task, kept under the same names as those drawn here."""
        from palm_engine.lm.base_model.load import token_counter
        from palm_engine.lm.base_model.source import resolve_base

        model = self.config.sampling.model
        wanted = [(t, f"draws/{t.policy}-{purpose}.parquet", served_key(t, model)) for t in tasks]
        total = sum(t.count for t, name, key in wanted if not self.store.is_current(name, key))
        if not total:
            return [pd.read_parquet(self.store.path(name)) for _, name, _ in wanted]
        self.store.say(self.progress.note)
        done = self.progress.stage(f"Draw answers ({purpose})", total)
        count = token_counter(resolve_base(self.config.base, self.progress.note))
        return [servers.draw(t, name, key, self.store, count, done) for t, name, key in wanted]

    def require_servers(self, policies: Sequence[Policy], samples: int) -> None:
        """Check that servers answer as the policies that they have still to be asked as.

        Args:
            policies: of the build; those that no server answers as are left out.
            samples: answers to each prompt.

        Raises:
            ConfigError: a server isn't there, or lacks the model.
        """
        for policy in policies:
            if policy.served is None:
                continue
            tasks = [self._task(policy, split, samples) for split in ASKED]
            names = [self._name(policy, split) for split in ASKED]
            kept = [self.store.is_current(n, t.key) for n, t in zip(names, tasks, strict=True)]
            if not all(kept):
                at = policy.served
                client = client_of(at.url, at.key_variable)
                require_model(client, at.url, at.model, f"policies: {policy.name}")

    def ask(self, policy: Policy, split: str, samples: int) -> pd.DataFrame:
        """Answers of a served policy to the prompts of `split`, asked where they are not there."""
        from palm_engine.lm.base_model.load import token_counter
        from palm_engine.lm.base_model.source import resolve_base

        task = self._task(policy, split, samples)
        name = self._name(policy, split)
        if self.store.is_current(name, task.key):
            return pd.read_parquet(self.store.path(name))
        self.store.say(self.progress.note)
        done = self.progress.stage(f"Ask {policy.name} ({split})", len(task.prompts) * samples)
        count = token_counter(resolve_base(self.config.base, self.progress.note))
        return draw_remote(task, count, self.store, name, task.key, done)

    def _task(self, policy: Policy, split: str, samples: int) -> RemoteTask:
        assert policy.served is not None
        wanted = self.prompts[self.prompts["split"] == split]
        return RemoteTask(
            policy.name,
            policy.served.url,
            policy.served.model,
            policy.system,
            tuple(zip(wanted["prompt_id"], wanted["text"], strict=True)),
            samples,
            self.config.sampling.plain,
            self.config.seed,
            policy.served.extras,
            policy.served.key_variable,
        )

    @staticmethod
    def _name(policy: Policy, split: str) -> str:
        return f"draws/{policy.name}-{split}.parquet"
