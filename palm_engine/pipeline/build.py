"""`palm build`: runs the stages in order, each resumable; then the bundle is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from palm_engine._types import Floats
from palm_engine.bundle.folder import MANIFEST_FILE, Bundle, read_bundle
from palm_engine.bundle.names import NAME_RULE, is_name, trained_name
from palm_engine.bundle.schema import Training
from palm_engine.bundle.tables import clusters_of
from palm_engine.bundle.writing import HOLDINGS, check_previous, check_target, write_bundle
from palm_engine.errors import ConfigError
from palm_engine.lm.training import TrainingReport
from palm_engine.lm.trl_training import require_plain_end, require_trl
from palm_engine.pipeline.assemble import assemble_manifest, package_versions
from palm_engine.pipeline.capacity import Room, device_dtype, require_context, require_memory
from palm_engine.pipeline.certify import CERTIFY_STEPS, Evaluated, certify
from palm_engine.pipeline.combining import combined
from palm_engine.pipeline.config import BuildConfig, Sampling
from palm_engine.pipeline.drawing import ASKED, Drawing
from palm_engine.pipeline.engines.interface import Engine
from palm_engine.pipeline.engines.local import LocalEngine
from palm_engine.pipeline.engines.on_ray import RayEngine
from palm_engine.pipeline.evaluate import KlEstimate, KlTask, estimate_kl
from palm_engine.pipeline.plan import PlannedPolicy, PoolPlan, plan_pool
from palm_engine.pipeline.policy import Policy, Served
from palm_engine.pipeline.progress import Progress
from palm_engine.pipeline.rewards import TraitRewards
from palm_engine.pipeline.sample import joined, read_demonstrations, read_prompts
from palm_engine.pipeline.served import Servers
from palm_engine.pipeline.store import Store, key_of
from palm_engine.pipeline.train import (
    DEMONSTRATION,
    OnlineTask,
    TrainTask,
    draw_pairs,
    draw_preferences,
    train,
)


def require_splits(path: Path, prompts: pd.DataFrame, train: bool) -> None:
    """Check that every split has the prompts that it takes to choose and to certify.

    Args:
        path: of the prompts, for messages.
        prompts: with their split, and cluster where they name one.
        train: whether some are trained on.

    Raises:
        ConfigError: one has too few.
    """
    for split, least in (("train", int(train)), ("choose", 2), ("certify", 2)):
        rows = prompts[prompts["split"] == split]
        clusters = clusters_of(rows)
        count = len(rows) if clusters is None else len(set(clusters))
        what = "prompts" if clusters is None or not len(rows) else "clusters of prompts"
        if least and not count:
            raise ConfigError(f"{path}: no prompt has split {split!r}; every split needs some")
        if count < least:
            raise ConfigError(
                f"{path}: split {split!r} has {count} {what}; it needs {least} or more, and dozens"
                " for a bound that says something"
            )


class Build:
    """One build: configuration, project folder (for data paths), work folder, progress, engine."""

    def __init__(
        self,
        config: BuildConfig,
        project: Path,
        work: Path,
        progress: Progress,
        engine: Engine | None = None,
        replace: bool = False,
    ) -> None:
        from palm_engine.lm.base_model.source import located

        self.replace = replace

        self.config = config.model_copy(update={"base": located(config.base, project)})
        self.engine = engine or LocalEngine(config.run.workers)
        self.project = project
        self.progress = progress
        self.prompts = read_prompts(project / config.data.prompts)
        self.texts: dict[str, str] = dict(
            zip(self.prompts["prompt_id"], self.prompts["text"], strict=True)
        )
        self.settings = config.sampling.plain
        self.servers = Servers(config.sampling) if config.sampling.engine == "openai" else None
        self.traits = [t.name for t in config.traits]
        self.model_key: list[str] = []
        require_splits(project / config.data.prompts, self.prompts, config.train)
        held_out = set(self.prompts.loc[self.prompts["split"] != "train", "prompt_id"])
        for field in ("curated_prompts", "never_curated"):
            strange = [p for p in getattr(config, field) if p not in held_out]
            if strange:
                raise ConfigError(
                    f"{field}: {strange[0]!r} is no prompt_id of choose or certify in"
                    f" {project / config.data.prompts}"
                )
        self.written: pd.DataFrame | None = None
        if config.train and config.data.demonstrations is not None:
            train = self.prompts.loc[self.prompts["split"] == "train", "prompt_id"]
            self.written = read_demonstrations(project / config.data.demonstrations, list(train))
        self.store = Store(work)

    def run(self, out: Path) -> Bundle:
        """All stages, then the bundle at `out`.

        Raises:
            ConfigError: another bundle is where this one is to be written.
        """
        from palm_engine.lm.base_model.load import check_base, load_tokenizer
        from palm_engine.lm.base_model.places import fingerprint, settings_sha256
        from palm_engine.lm.base_model.source import resolve_base

        # Made now: a reward that can't be had is refused before anything is drawn.
        self.rewards = TraitRewards.of(
            self.config, self.project, self.store, self.engine if self.engine.scores else None
        )
        self.rewards.try_out(str(self.prompts["text"].iloc[0]))
        if self.config.train and self.config.training.method != "rwr":
            require_trl()
        other = not self.replace and (out / MANIFEST_FILE).is_file()
        if other and (held := read_bundle(out).manifest.name) != self.config.name:
            raise ConfigError(
                f"{out} holds the bundle {held!r}, not {self.config.name!r}; choose another --out,"
                " or --replace it, which keeps it beside"
            )
        trains = self.config.train or any(p.adapter for p in self.config.policies)
        held_too = [h for h in HOLDINGS if trains or h != "trained adapters"]
        check_target(out, held_too, self.replace)
        if self.replace:
            check_previous(out)
        base_folder = resolve_base(self.config.base, self.progress.note)
        check_base(base_folder, self.config.template)
        if self.config.train and self.config.training.method != "rwr":
            require_plain_end(load_tokenizer(base_folder, self.config.template))
        if self.servers is not None:
            self.servers.require(adapters=trains)
        require_context(self.config, self.prompts, base_folder)
        room = Room(self.config, self.prompts, base_folder, alone=self.engine.scores)
        self.engine.once(require_memory, room)
        self.model_key = [
            fingerprint(base_folder),
            settings_sha256(base_folder),
            self.engine.once(device_dtype, None),
        ]
        self.drawing = Drawing(
            self.config,
            self.prompts,
            self.store,
            self.progress,
            self.engine,
            self.servers,
            self.model_key,
        )
        sources = [Policy("base", "base", None)]
        sources += [Policy(s.name, "prompted", s.system) for s in self.config.styles]
        own = self.own_policies(base_folder)
        # Now, and not when everything else is drawn and trained.
        self.drawing.require_servers(own, self.config.evaluation.answers_per_prompt)
        plan: PoolPlan | None = None
        tables = {"prompts": self.prompts}
        policies = [*sources, *own]
        if self.config.train:
            plan, tables["pool"], adapters = self.rounds(sources)
            policies += adapters
        policies += combined(self.config, [p for p in policies if p.adapter], self.store)
        samples = self.evaluate(policies)
        local = [p for p in policies if p.served is None and p.mixture is None]
        kl = self.kl(local, [s.system for s in sources])
        data = Evaluated(
            [p.name for p in policies if p.is_candidate],
            {p.name: p.planned.weights for p in policies if p.planned and not p.is_candidate},
            self.traits,
            samples,
            self.prompts,
        )
        certified = self.progress.stage("Select and certify", CERTIFY_STEPS)
        members, certificate = certify(
            data,
            self.config,
            self.rewards,
            None if plan is None else plan.planned_gap,
            certified,
        )
        for sentence in self.rewards.spent():
            self.progress.note(sentence)
        # A soup is three times an adapter, and can be made again from its parts.
        policies = [
            replace(p, adapter=None) if p.soup and p.name not in members else p for p in policies
        ]
        manifest = assemble_manifest(
            self.config,
            policies,
            data,
            members,
            certificate,
            kl,
            rewards=self.rewards,
            fingerprint=fingerprint(base_folder),
            versions=package_versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        tables["samples"] = samples
        kept = {p.name: p.adapter for p in policies if p.adapter}
        return write_bundle(out, manifest, tables, kept, self.replace)

    def own_policies(self, base: Path) -> list[Policy]:
        """The configuration's own policies; an adapter that can't be used is refused now.

        Args:
            base: folder of the base model.

        Raises:
            ModelSourceError: an adapter can't be had, or isn't for this base.
        """
        from palm_engine.lm.adapters.source import resolve_adapter
        from palm_engine.lm.adapters.stacked_linear import require_fits

        found = []
        for p in self.config.policies:
            if p.parts is not None:
                continue
            folder = None
            if p.adapter is not None:
                folder = resolve_adapter(p.adapter, self.project, self.progress.note)
                require_fits(folder, base)
            served = None
            if p.url is not None and p.model is not None:
                served = Served(p.url, p.model, p.extras, p.key_variable)
            kind = "remote" if folder is None else "adapter"
            found.append(
                Policy(
                    p.name,
                    kind,
                    p.system,
                    adapter=folder,
                    served=served,
                    display_name=p.display_name,
                    weights=p.weights,
                )
            )
        return found

    def rounds(self, sources: list[Policy]) -> tuple[PoolPlan, pd.DataFrame, list[Policy]]:
        """Stages 1 to 4, as often as `rounds.count` says.

        After each round but the last, the trained policies answer the train prompts; their answers
        join the pool, which is scored and planned anew, and training begins again at the base.
        Where `rounds.keep_demonstrations` is false, the last pool holds drawn answers only; with
        `rounds.warm_start`, training goes on from the round before.

        Returns:
            The last round's plan, pool and adapters.
        """
        frames = self.drawing.draw(sources, "pool", "train", self.config.pool.samples_per_source)
        written = self._demonstrations()
        settings = self.config.rounds
        adapters: list[Policy] = []
        for number in range(1, settings.count):
            early = f"round-{number}/"
            pool, rewards = self.pool([*frames, written], early)
            plan = self.plan(rewards, early)
            plan = replace(plan, adapters=plan.adapters[: settings.adapters])
            adapters = self.train(plan, pool, rewards, adapters, early)
            own = self.drawing.draw(adapters, f"round-{number}", "train", settings.answers)
            frames += [f.assign(policy=f["policy"] + f".round-{number}") for f in own]
        pool, rewards = self.pool([*frames, written] if settings.keep_demonstrations else frames)
        plan = self.plan(rewards)
        return plan, pool, self.train(plan, pool, rewards, adapters)

    def pool(self, frames: list[pd.DataFrame], place: str = "") -> tuple[pd.DataFrame, Floats]:
        """Stage 2: the scored pool, sorted by prompt and source.

        Args:
            frames: drawn and written answers.
            place: folder of the work folder that keeps the result.

        Returns:
            The pool, and its rewards (prompts, samples, d).

        Raises:
            ConfigError: prompts have different numbers of answers.
        """
        key = key_of([f.to_csv(index=False) for f in frames], self.traits, self.rewards.key())

        def make() -> pd.DataFrame:
            self.store.say(self.progress.note)
            done = self.progress.stage("Score the pool", 1)
            pool = pd.concat(frames).sort_values(
                ["prompt_id", "policy", "sample_id"], kind="stable"
            )
            scored = self.rewards.score(pool.reset_index(drop=True), self.texts, done)
            return scored.rename(columns={"policy": "source"})

        pool = self.store.table(f"{place}pool.parquet", key, make)
        counts = pool.groupby("prompt_id").size()
        if counts.nunique() > 1:
            raise ConfigError(
                f"the pool needs equally many answers per prompt; {counts.idxmin()} has"
                f" {counts.min()}"
            )
        return pool, pool[self.traits].to_numpy().reshape(len(counts), -1, len(self.traits))

    def plan(self, rewards: Floats, place: str = "") -> PoolPlan:
        """Stage 3: what to train; kept, so that a resumed build trains the same.

        `rewards` are the pool's, (prompts, samples, d); `place` as for `pool`.
        """
        key = key_of(rewards, self.config.plan, self.config.seed, self.config.selection.k)
        name = f"{place}plan.json"
        if not self.store.is_current(name, key):
            self.store.say(self.progress.note)
            done = self.progress.stage("Plan in closed form", 1)
            self.store.put_json(name, key, plan_pool(rewards, self.config))
            done(1)
        plan = PoolPlan.from_json(self.store.read_json(name))
        proved = (
            "proved best"
            if plan.proved
            else f"best found, none below {plan.planned_lower_bound:.4f}"
        )
        self.progress.note(
            f"Plan: worst gap {plan.planned_gap:.4f} with {self.config.selection.k} members,"
            f" {proved} (pool)"
        )
        return plan

    def train(
        self,
        plan: PoolPlan,
        pool: pd.DataFrame,
        rewards: Floats,
        earlier: Sequence[Policy],
        place: str = "",
    ) -> list[Policy]:
        """Stage 4: the planned adapters, trained where they are not there yet.

        `rewards` are the pool's, (prompts, samples, d); `earlier` the adapters of the round before,
        if any; `place` as for `pool`.
        """
        t = self.config.training
        if earlier:
            later = {"learning_rate": self.config.rounds.learning_rate}
            later |= {"epochs": self.config.rounds.epochs}
            t = t.model_copy(update={k: v for k, v in later.items() if v is not None})
        tasks = {}
        for planned in plan.adapters:
            name = trained_name(planned.weights)
            task = TrainTask(
                self.config.base,
                self.config.template,
                name,
                (),
                t,
                self.config.seed,
                self.store.path(f"{place}adapters/{name}"),
                start=self._start(planned, earlier),
            )
            tasks[name] = self._with_data(task, planned, pool, rewards)
        keys = {name: self._training_key(task) for name, task in tasks.items()}
        missing = [
            replace(task, mark=keys[name])
            for name, task in tasks.items()
            if not self.store.is_current(f"{place}adapters/{name}", keys[name])
        ]
        if missing:
            self.store.say(self.progress.note)
            done = self.progress.stage("Train adapters", len(missing))
            for task in missing:
                self.store.begin(f"{place}adapters/{task.policy}")
            for task, report in self.engine.run(train, missing, done):
                kept = f"{place}adapters/{task.policy}"
                self.store.put_json(f"{kept}.report.json", keys[task.policy], report)
                self.store.finish(kept, keys[task.policy])
                self.progress.note(_training_note(task.policy, report, t.epochs))
                for sentence in report.spent:
                    self.progress.note(f"{task.policy}: {sentence}")
        return [
            Policy(
                name := trained_name(p.weights),
                "adapter",
                t.system,
                p,
                tasks[name].folder,
                training=self._trained(f"{place}adapters/{name}.report.json", keys[name]),
            )
            for p in plan.adapters
        ]

    def _trained(self, report: str, key: str) -> Training | None:
        """How an adapter's training went, as it was kept beside the adapter."""
        if not self.store.is_current(report, key):
            self.progress.note(
                f"{report}: gone or damaged, so how that adapter's training went is left out; the"
                " adapter itself is whole"
            )
            return None
        kept = self.store.read_json(report)
        first, last = (
            (float(np.mean([h["scalar"] for h in part])) for part in _ends(kept["history"]))
            if kept["history"]
            else (None, None)
        )
        return Training(
            losses=kept["losses"],
            held_out=kept["held_out"],
            epoch=kept["epoch"],
            steps=kept["steps"],
            value=None if first is None or last is None else (first, last),
        )

    def _start(self, planned: PlannedPolicy, earlier: Sequence[Policy]) -> Path | None:
        """The adapter to go on from: of the round before, at the nearest weights."""
        if not self.config.rounds.warm_start or not earlier:
            return None
        found = [(p.planned.weights, _folder(p)) for p in earlier if p.planned is not None]
        return min(found, key=lambda f: float(np.abs(f[0] - planned.weights).sum()))[1]

    def _training_key(self, task: TrainTask) -> str:
        """Of all that the task's adapter depends on, the content of the one it starts from too."""
        from palm_engine.lm.adapters.files import adapter_sha256

        start = [] if task.start is None else [adapter_sha256(task.start)]
        plain = replace(task, start=None, base="")
        if task.online is not None:  # where base and rewards lie; their content counts
            config = task.online.config.model_copy(update={"base": ""})
            plain = replace(plain, online=replace(task.online, config=config, project=Path()))
        return key_of(plain, self.model_key, *start)

    def _with_data(
        self, task: TrainTask, planned: PlannedPolicy, pool: pd.DataFrame, rewards: Floats
    ) -> TrainTask:
        """The task with what its method learns from."""
        t = self.config.training
        common = (pool, rewards, planned.beta, planned.weights, t.draws_per_prompt)
        if t.method == "dpo":
            preferences = draw_preferences(
                *common,
                t.dpo.margin,
                t.system,
                self.texts,
                self.settings.max_new_tokens,
                self.config.seed,
            )
            return replace(task, preferences=preferences)
        if t.method == "grpo":
            train = self.prompts[self.prompts["split"] == "train"]
            # What has no part in training: a change of it trains nothing again.
            plain: dict[str, Any] = {"title": "", "display_names": {}}
            plain |= {"curated_prompts": (), "never_curated": ()}
            plain["traits"] = tuple(
                t.model_copy(update={"display_name": ""}) for t in self.config.traits
            )
            for part in ("run", "selection", "evaluation", "soups", "policies"):
                plain[part] = BuildConfig.model_fields[part].default
            # Where other answers were drawn: its own are drawn while it learns.
            plain["sampling"] = Sampling(**self.settings.model_dump())
            online = OnlineTask(
                tuple(train["text"]),
                self.config.model_copy(update=plain),
                self.project,
                tuple(map(float, planned.weights)),
                tuple(self.rewards.key()),
            )
            return replace(task, online=online)
        pairs = draw_pairs(
            *common, t.system, self.texts, self.settings.max_new_tokens, self.config.seed
        )
        return replace(task, pairs=pairs)

    def evaluate(self, policies: list[Policy]) -> pd.DataFrame:
        """Stage 5: every policy's own answers, scored.

        Only adapters in the candidates answer train prompts too.
        """
        count = self.config.evaluation.answers_per_prompt
        held_out = [p for p in policies if p.planned is None and p.served is None]
        served = [p for p in policies if p.served is not None]
        planned = [p for p in policies if p.planned is not None and p.is_candidate]
        outside = [p for p in policies if not p.is_candidate]
        frames = self.drawing.draw(planned, "train", "train", count)
        frames += self.drawing.draw([*held_out, *planned], "choose", "choose", count)
        frames += self.drawing.draw([*held_out, *planned, *outside], "certify", "certify", count)
        frames += [self.drawing.ask(p, split, count) for p in served for split in ASKED]
        key = key_of([f.to_csv(index=False) for f in frames], self.traits, self.rewards.key())

        def make() -> pd.DataFrame:
            self.store.say(self.progress.note)
            done = self.progress.stage("Score answers", 1)
            return self.rewards.score(joined(frames), self.texts, done)

        return self.store.table("samples.parquet", key, make)

    def kl(self, policies: list[Policy], sources: list[str | None]) -> dict[str, KlEstimate]:
        """The KL diagnostic of every policy, on a few `choose` prompts."""
        choose = self.prompts[self.prompts["split"] == "choose"]
        # Spread over the kinds of prompt: the file is ordered by kind.
        some = choose.iloc[
            np.linspace(
                0, len(choose) - 1, min(self.config.evaluation.kl_prompts, len(choose))
            ).astype(int)
        ]
        tasks = [
            KlTask(
                self.config.base,
                self.config.template,
                p.name,
                p.system,
                p.adapter,
                tuple(sources),
                tuple(some["text"]),
                self.settings.max_new_tokens,
                self.config.seed,
            )
            for p in policies
        ]
        # Base and adapters are known by their content, wherever they lie.
        keys = {
            t.policy: key_of(
                replace(t, base="", adapter=None), self._adapter_hash(t.adapter), self.model_key
            )
            for t in tasks
        }
        missing = [
            t for t in tasks if not self.store.is_current(f"kl/{t.policy}.json", keys[t.policy])
        ]
        if missing:
            self.store.say(self.progress.note)
            done = self.progress.stage("Estimate KL", len(missing))
            for task, estimate in self.engine.run(estimate_kl, missing, done):
                self.store.put_json(f"kl/{task.policy}.json", keys[task.policy], asdict(estimate))
        return {t.policy: KlEstimate(**self.store.read_json(f"kl/{t.policy}.json")) for t in tasks}

    def _demonstrations(self) -> pd.DataFrame:
        columns = ["policy", "prompt_id", "sample_id", "text", "tokens"]
        written = self.written
        if written is None:
            return pd.DataFrame({c: [] for c in columns})
        from palm_engine.lm.base_model.load import token_counter
        from palm_engine.lm.base_model.source import resolve_base

        count = token_counter(resolve_base(self.config.base, self.progress.note))
        return pd.DataFrame(
            {
                "policy": DEMONSTRATION,
                "prompt_id": written["prompt_id"],
                "sample_id": written.groupby("prompt_id").cumcount(),
                "text": written["text"],
                "tokens": count(list(written["text"])),
            }
        )

    def _adapter_hash(self, folder: Path | None) -> str:
        from palm_engine.lm.adapters.files import adapter_sha256

        return "" if folder is None else adapter_sha256(folder)


def _ends(history: Sequence[dict[str, float]]) -> tuple[Sequence[dict[str, float]], ...]:
    """The first and the last tenth of the steps."""
    few = max(1, len(history) // 10)
    return history[:few], history[-few:]


def _folder(policy: Policy) -> Path:
    assert policy.adapter is not None
    return policy.adapter


def _training_note(policy: str, report: TrainingReport, epochs: int) -> str:
    if report.history:
        first, last = (np.mean([h["scalar"] for h in part]) for part in _ends(report.history))
        traits = [t for t in report.history[0] if t != "scalar"]
        final = _ends(report.history)[1]
        raw = ", ".join(f"{t} {np.mean([h[t] for h in final]):.3f}" for t in traits)
        return f"{policy}: value {first:.3f} to {last:.3f} while training ({raw})"
    last_loss = report.losses[-1 if not report.held_out else report.epoch - 1]
    words = f"{policy}: loss {report.losses[0]:.2f} to {last_loss:.2f}"
    if report.held_out:
        best = report.held_out[report.epoch]
        words += (
            f", on held-out prompts {report.held_out[0]:.2f} to {best:.2f}"
            f" (epoch {report.epoch} of {epochs} kept)"
        )
    return f"{words}, nats per token"


def build(
    config: BuildConfig,
    project: Path,
    out: Path,
    progress: Progress,
    work: Path | None = None,
    on_ray: bool = False,
    address: str | None = None,
    replace: bool = False,
) -> Bundle:
    """Build a bundle.

    Args:
        config: the build's configuration.
        project: folder that the configuration's data paths start from.
        out: the bundle's folder.
        progress: what the build reports to.
        work: folder of stage results, reused by a repeated run; `.<name>.build` beside `out` if not
            given.
        on_ray: run tasks on a Ray cluster in place of processes of this machine.
        address: of the cluster; None makes one on this machine.
        replace: take the place of a bundle that holds more, and keep that one beside it.

    Raises:
        DependencyError: the extra 'ray' isn't installed.
        ConfigError: `out` can't be a bundle's folder.
        PalmError: a stage failed; says which and how to fix it.
    """
    if not is_name(out.name):
        raise ConfigError(f"--out {str(out)!r}: a bundle's name has {NAME_RULE}")
    check_target(out, HOLDINGS, replace)
    folder = work or out.with_name(f".{config.name}.build")
    if folder.resolve().is_relative_to(out.resolve()):
        raise ConfigError(
            f"--work {folder}: lies in --out {out}, which is written anew at the end; name another"
        )
    task = Build(config, project, folder, progress, replace=replace)
    with task.store.held():
        if not on_ray:
            return task.run(out)
        with RayEngine(folder, address, config.run.cpus_per_task, config.run.gpus_per_task) as ray:
            task.engine = ray
            return task.run(out)
