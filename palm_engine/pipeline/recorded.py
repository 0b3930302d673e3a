"""What a bundle was made with, as it is on this machine: base model and rewards, and its draws.

For whatever goes on where a build ended: the same base, the same rewards, answers drawn alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import pandas as pd

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import BaseInfo, TraitInfo
from palm_engine.errors import BundleError, InvalidInputError, ModelSourceError
from palm_engine.lm.settings import SamplingSettings
from palm_engine.pipeline.engines.interface import Engine
from palm_engine.pipeline.progress import Progress
from palm_engine.pipeline.rewards import Measure, TraitRewards
from palm_engine.pipeline.store import Store
from palm_engine.rewards import reward_for, reward_names
from palm_engine.rewards.interface import Reward, is_other


@dataclass(frozen=True)
class RecordedBase:
    """The base model of a bundle.

    Attributes:
        info: as the bundle records it.
        sampling: how its answers are drawn.
        folder: where it lies here.
        key: what answers depend on besides their task: its fingerprint and number format.
    """

    info: BaseInfo
    sampling: SamplingSettings
    folder: Path
    key: list[str]


def evaluated_adapter(bundle: Bundle, policy: str, base: Path | None = None) -> Path:
    """The folder of a bundle's own adapter, to answer like it did when it was evaluated.

    Args:
        bundle: that has it.
        policy: whose adapter.
        base: folder of the base model that it is to run on; None: its layers aren't looked at.

    Raises:
        BundleError: it has none.
        ModelSourceError: it isn't the one that was evaluated, is damaged, or is for other layers.
    """
    from palm_engine.lm.adapters.files import require_evaluated
    from palm_engine.lm.adapters.stacked_linear import require_fits

    folder = bundle.adapter_folder(policy)
    candidate = bundle.candidate(policy)
    require_evaluated(folder, candidate.adapter_sha256, candidate.adapter_weights_sha256)
    if base is not None:
        require_fits(folder, base)
    return folder


def recorded_base(bundle: Bundle, progress: Progress) -> RecordedBase:
    """The base model that a bundle's answers came from.

    Raises:
        BundleError: the bundle doesn't say how answers are drawn.
        ModelSourceError: the base on this machine is another one.
    """
    from palm_engine.lm.base_model.places import fingerprint, settings_sha256
    from palm_engine.lm.base_model.source import resolve_base
    from palm_engine.lm.devices import build_dtype, pick_device, pick_dtype

    manifest = bundle.manifest
    if manifest.base is None or manifest.sampling is None:
        raise BundleError(
            f"{bundle.folder}: base or sampling is missing in portfolio.json, so no answers can be"
            " drawn as the others were"
        )
    folder = resolve_base(manifest.base.source, progress.note)
    own = fingerprint(folder)
    if manifest.base.fingerprint not in (None, own):
        raise ModelSourceError(
            f"{folder}: isn't the base of this bundle (fingerprint {own[:12]}..., the bundle's is"
            f" {str(manifest.base.fingerprint)[:12]}...)"
        )
    device = pick_device()
    key = [own, settings_sha256(folder), str(pick_dtype(device, build_dtype(device)))]
    return RecordedBase(manifest.base, manifest.sampling, folder, key)


def recorded_rewards(
    traits: Sequence[TraitInfo], most_tokens: int, store: Store | None
) -> tuple[TraitRewards, bool]:
    """A bundle's rewards, and whether one of them changed since its answers were scored.

    Args:
        traits: as the bundle records them.
        most_tokens: how long its answers may be, for rewards of length.
        store: keeps scores, or None.

    Raises:
        InvalidInputError: a reward isn't known here.
    """
    measures = []
    changed = False
    for trait in traits:
        reward = reward_of(trait, most_tokens)
        measures.append(Measure(trait.name, reward, trait.reward))
        changed |= is_other(reward, trait.reward_sha256)
    return TraitRewards(measures, store), changed


def reward_of(trait: TraitInfo, most_tokens: int) -> Reward:
    """The reward that a bundle's trait names, changed since or not.

    Args:
        trait: as the bundle records it.
        most_tokens: how long the bundle's answers may be.

    Raises:
        InvalidInputError: it isn't known here, or isn't the only one of its name.
    """
    most = trait.longest(most_tokens)
    found = reward_for(trait.name, trait.reward, trait.reward_sha256, most)
    if found is None:
        raise InvalidInputError(
            f"trait {trait.name!r}: reward {trait.reward!r} is not known here, so nothing can be"
            " scored; name the configuration that it comes from (--rewards). Known by name are"
            f" {', '.join(reward_names())}"
        )
    return found


class _Task(Protocol):
    @property
    def policy(self) -> str: ...

    @property
    def count(self) -> int: ...


Task = TypeVar("Task", bound=_Task)


def drawn(
    work: Callable[[Task], pd.DataFrame],
    tasks: Sequence[Task],
    keys: Sequence[str],
    store: Store,
    stage: Callable[[float], Callable[[float], None]],
    engine: Engine,
    suffix: str = "",
    note: Callable[[str], None] = lambda _: None,
) -> list[pd.DataFrame]:
    """Answers of tasks, one kept file each, drawn where they aren't there yet.

    Args:
        work: draws a task's answers; a function of a module.
        tasks: each for another policy.
        keys: what each task's answers depend on.
        store: keeps them below `draws/`.
        stage: begins a stage of so many answers; not called where nothing is missing.
        engine: that runs them.
        suffix: of the files' names, after the policy's.
        note: is told what is drawn anew, and why.
    """
    key = dict(zip((t.policy for t in tasks), keys, strict=True))
    names = {t.policy: f"draws/{t.policy}{suffix}.parquet" for t in tasks}
    missing = [t for t in tasks if not store.is_current(names[t.policy], key[t.policy])]
    if missing:
        store.say(note)
        done = stage(sum(t.count for t in missing))
        for task, frame in engine.run(work, missing, done):
            store.put_table(names[task.policy], key[task.policy], frame)
    return [pd.read_parquet(store.path(names[t.policy])) for t in tasks]
