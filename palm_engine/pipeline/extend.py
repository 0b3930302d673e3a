"""`palm add` and `palm evaluate`: what a bundle lacks is drawn and scored, nothing else again.

A policy that is added answers the prompts that the others answered; prompts that are added are
answered by all; a trait that is added scores the answers that are there; a reward that changed
scores every answer anew. Then members are chosen on the
choose prompts and certified on the certify prompts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.manifest import Manifest
from palm_engine.bundle.schema import (
    Candidate,
    Certificate,
    Member,
    RewardAudit,
    TraitInfo,
)
from palm_engine.bundle.served import KEY_VARIABLE, plain_address, server_keys
from palm_engine.bundle.writing import write_bundle
from palm_engine.errors import BundleError, ConfigError, InvalidInputError
from palm_engine.geometry.simplex import named_weights
from palm_engine.pipeline.assemble import stand_for, trait_info
from palm_engine.pipeline.certify import Evaluated, select_and_certify
from palm_engine.pipeline.config import Selection
from palm_engine.pipeline.engines.local import LocalEngine
from palm_engine.pipeline.further_traits import FurtherTrait, with_traits, without
from palm_engine.pipeline.mixture import MixTask, draw_mixture, mixture_key
from palm_engine.pipeline.progress import Progress
from palm_engine.pipeline.recorded import (
    RecordedBase,
    drawn,
    evaluated_adapter,
    recorded_base,
    recorded_rewards,
)
from palm_engine.pipeline.remote import RemoteTask, draw_remote
from palm_engine.pipeline.rewards import TraitRewards
from palm_engine.pipeline.sample import (
    ANSWER_COLUMNS,
    FINISH,
    DrawTask,
    draw,
    draw_key,
    joined,
    require_clusters_apart,
)
from palm_engine.pipeline.store import Store

SPLITS = ("choose", "certify")


@dataclass(frozen=True)
class Addition:
    """A policy to add.

    Attributes:
        candidate: as the bundle will record it, without rewards yet.
        adapter: folder of its adapter, or None.
        remote: how it is asked where it is served elsewhere: url, model, extras, key_variable.
    """

    candidate: Candidate
    adapter: Path | None = None
    remote: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExtendOptions:
    """How a bundle is completed.

    Attributes:
        k: number of members; as many as before if None.
        keep_members: whether the members stay as they are.
        rescore: whether every answer is scored anew.
        workers: processes that draw.
        batch_size: answers drawn at once in a process.
        servers: addresses that may be asked where the bundle says that a policy answers there, each
            perhaps with `#VARIABLE`, the environment variable that holds its key.
        key_variable: environment variable with their key; a bundle never names it.
        replace: whether a bundle that holds more may be replaced; it is kept beside the new one.
    """

    k: int | None = None
    keep_members: bool = False
    rescore: bool = False
    workers: int = 2
    batch_size: int = 64
    servers: tuple[str, ...] = ()
    key_variable: str = KEY_VARIABLE
    replace: bool = False


def extend(
    bundle: Bundle,
    out: Path,
    work: Path,
    progress: Progress,
    additions: Sequence[Addition] = (),
    prompts: pd.DataFrame | None = None,
    options: ExtendOptions | None = None,
    traits: Sequence[FurtherTrait] = (),
) -> Bundle:
    """Complete a bundle: draw and score what is missing, choose and certify, write.

    Args:
        bundle: to complete; it must name its base model and hold prompts.
        out: the folder to write; may be the bundle's own.
        work: folder of what was drawn and scored, reused by a repeated run.
        progress: what the run reports to.
        additions: policies to add.
        prompts: prompts to add: prompt_id, split, text.
        options: how.
        traits: traits to add; `out` must be another folder then.

    Raises:
        BundleError: the bundle holds no prompts to answer, or a policy that can't run lacks
            answers.
        ConfigError: another process works in `work`, or it is a bundle.
        InvalidInputError: a name is taken, or a reward isn't known here.
        ModelSourceError: the base isn't the bundle's.
    """
    options = options or ExtendOptions()
    store = Store(work)
    with store.held():
        made = _extended(bundle, out, store, progress, additions, prompts, options, traits)
        store.say(progress.note)
        return made


def _extended(
    bundle: Bundle,
    out: Path,
    store: Store,
    progress: Progress,
    additions: Sequence[Addition],
    prompts: pd.DataFrame | None,
    options: ExtendOptions,
    traits: Sequence[FurtherTrait],
) -> Bundle:
    manifest = _with_candidates(bundle.manifest, additions)
    if traits:
        if lost := without(manifest):
            progress.note(f"Not in a bundle with another trait: {', '.join(lost)}.")
        manifest = with_traits(manifest, traits, bundle.most_tokens)
    all_prompts = _with_prompts(bundle, prompts)
    lacking = _lacking(manifest, all_prompts, bundle.samples)
    rewards, changed = _rewards(manifest, bundle, store, bool(lacking) or options.rescore)
    kept = [*ANSWER_COLUMNS, *bundle.traits, *({FINISH} & set(bundle.samples.columns))]
    samples = bundle.samples[kept].copy()
    if lacking:
        first = next(iter(lacking.values()))
        rewards.try_out(str(first["text"].iloc[0]))
    new = _drawn(bundle, manifest, additions, lacking, samples, store, progress, options)
    anew = rewards if options.rescore or changed else rewards.only([t.name for t in traits])
    if anew.traits:
        samples = _scored(samples, anew, all_prompts, progress, "Score every recorded answer")
    if len(new):
        new = _scored(new, rewards, all_prompts, progress, "Score new answers")
        samples = joined([samples, new])
    manifest = _certified(bundle, manifest, samples, all_prompts, rewards, progress, options)
    if options.rescore or changed:
        manifest = _without_old_scores(manifest)
    for sentence in rewards.spent():
        progress.note(sentence)
    manifest, soups = _with_soups_of_members(bundle, manifest, store)
    tables = {"prompts": all_prompts, "samples": samples}
    if (bundle.folder / "pool.parquet").is_file():
        tables["pool"] = pd.read_parquet(bundle.folder / "pool.parquet")
        if anew.traits:
            tables["pool"] = _scored(tables["pool"], anew, all_prompts, progress, "Score the pool")
    adapters = {
        c.policy: bundle.adapter_folder(c.policy)
        for c in (*bundle.manifest.candidates, *bundle.manifest.outside)
        if c.adapter is not None
    }
    adapters |= {a.candidate.policy: a.adapter for a in additions if a.adapter is not None} | soups
    return write_bundle(out, manifest, tables, adapters, options.replace)


def _with_candidates(manifest: Manifest, additions: Sequence[Addition]) -> Manifest:
    taken = {c.policy for c in (*manifest.candidates, *manifest.outside)}
    for addition in additions:
        if addition.candidate.policy in taken:
            raise InvalidInputError(
                f"{addition.candidate.policy!r} is in the bundle already; choose another name"
            )
        taken.add(addition.candidate.policy)
    added = tuple(a.candidate for a in additions)
    return manifest.model_copy(update={"candidates": (*manifest.candidates, *added)})


def _with_prompts(bundle: Bundle, prompts: pd.DataFrame | None) -> pd.DataFrame:
    own = bundle.prompts
    if prompts is not None:
        repeated = set(own["prompt_id"]) & set(prompts["prompt_id"])
        if repeated:
            raise ConfigError(
                f"prompt_id {min(repeated)!r} is in the bundle already; give new prompts new ids"
            )
        own = pd.concat([own, prompts], ignore_index=True)
        if "cluster" in own:
            # A prompt of no cluster is one of its own.
            own["cluster"] = own["cluster"].fillna(own["prompt_id"])
            require_clusters_apart(own, f"{bundle.folder} with the added prompts")
    for split in SPLITS:
        if (own["split"] == split).sum() < 2:
            raise BundleError(
                f"{bundle.folder}: fewer than two prompts have split {split!r}; members are chosen"
                " on some and certified on others, so add some (--prompts)"
            )
    return own


def _rewards(
    manifest: Manifest, bundle: Bundle, store: Store, scores_all: bool
) -> tuple[TraitRewards, bool]:
    """The rewards that are needed: of all traits, or of those that have no scores yet.

    Scores of a table from elsewhere have no reward here, and need none while nothing new is
    answered; those that a reward gave later are told by its fingerprint.
    """
    own = set(bundle.traits)
    scored = [
        t
        for t in manifest.traits
        if scores_all
        or t.name not in own
        or manifest.imported is None
        or t.reward_sha256 is not None
    ]
    return recorded_rewards(scored, bundle.most_tokens, store)


def _lacking(
    manifest: Manifest, prompts: pd.DataFrame, samples: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Choose and certify prompts that a candidate has no answer to, by policy."""
    wanted = prompts[prompts["split"].isin(SPLITS)]
    rows = samples[samples["prompt_id"].isin(wanted["prompt_id"])]
    answered = {
        str(policy): set(found["prompt_id"])
        for policy, found in rows.groupby("policy", observed=True)
    }
    lacking = {
        c.policy: wanted[~wanted["prompt_id"].isin(answered.get(c.policy, set()))]
        for c in manifest.candidates
    }
    return {policy: found for policy, found in lacking.items() if len(found)}


def _drawn(
    bundle: Bundle,
    manifest: Manifest,
    additions: Sequence[Addition],
    missing: dict[str, pd.DataFrame],
    samples: pd.DataFrame,
    store: Store,
    progress: Progress,
    options: ExtendOptions,
) -> pd.DataFrame:
    """Answers to the prompts that are missing, by policy."""
    from palm_engine.lm.base_model.load import check_base

    if not missing:
        return pd.DataFrame(columns=ANSWER_COLUMNS)
    held_out = bundle.prompts.loc[bundle.prompts["split"].isin(SPLITS), "prompt_id"]
    rows = samples[samples["prompt_id"].isin(held_out)]
    per_prompt = rows.groupby(["policy", "prompt_id"], observed=True).size()
    count = int(per_prompt.mode().iloc[0]) if len(per_prompt) else 2
    by_name = {a.candidate.policy: a for a in additions}
    _require_runnable(bundle, manifest, set(missing) - set(by_name), options.servers)
    base = recorded_base(bundle, progress)
    seed = manifest.built.seed or 0
    frames = []
    asked: list[tuple[Candidate, dict[str, Any], tuple[tuple[str, str], ...]]] = []
    tasks: dict[str, DrawTask] = {}
    mixtures: list[MixTask] = []
    for policy, rows in missing.items():
        pairs = tuple(zip(rows["prompt_id"], rows["text"], strict=True))
        addition = by_name.get(policy)
        candidate = _candidate(manifest, policy)
        remote = addition.remote if addition is not None else _served(candidate, options.servers)
        if remote:
            named = server_keys(options.servers).get(plain_address(remote["url"]))
            remote = {"key_variable": named or options.key_variable} | remote
            asked.append((candidate, remote, pairs))
            continue
        adapter = addition.adapter if addition is not None else None
        if adapter is None and candidate.adapter is not None:
            adapter = evaluated_adapter(bundle, policy, base.folder)
        elif adapter is None and candidate.soup:
            adapter = _soup(bundle, candidate, store)
        tasks[policy] = DrawTask(
            base.info.source,
            manifest.template,
            policy,
            candidate.system,
            adapter,
            pairs,
            count,
            base.sampling,
            seed,
            options.batch_size,
        )
    for policy in [p for p in tasks if _candidate(manifest, p).mixture]:
        weights = _candidate(manifest, policy).mixture or {}
        parts = {p: (w, evaluated_adapter(bundle, p, base.folder)) for p, w in weights.items()}
        mixtures.append(MixTask(tasks.pop(policy), parts))
    # Servers are asked, and paid, once everything else is known to be usable.
    if asked and (tasks or mixtures):
        check_base(base.folder, manifest.template)
    for candidate, remote, pairs in asked:
        frames.append(_remote(candidate, remote, pairs, count, base, seed, store, progress))
    stage = partial(progress.stage, "Draw answers")
    engine = LocalEngine(options.workers)
    keys = [draw_key(t, base.key) for t in tasks.values()]
    frames += drawn(draw, list(tasks.values()), keys, store, stage, engine)
    keys = [mixture_key(t, base.key) for t in mixtures]
    frames += drawn(draw_mixture, mixtures, keys, store, stage, engine)
    return joined(frames)


def _candidate(manifest: Manifest, policy: str) -> Candidate:
    return next(c for c in manifest.candidates if c.policy == policy)


def _served(candidate: Candidate, servers: Sequence[str]) -> dict[str, Any]:
    """How a policy is asked that a bundle names a server of; empty where nobody may ask that."""
    if plain_address(candidate.served_at) not in server_keys(servers):
        return {}
    return {
        "model": candidate.served_model,
        "url": candidate.served_at,
        # As its other answers were asked for.
        "extras": not candidate.served_plainly,
    }


def _require_runnable(
    bundle: Bundle, manifest: Manifest, policies: set[str], servers: Sequence[str]
) -> None:
    """Check that every policy of `policies` can answer here.

    Raises:
        BundleError: one can't; says which server would have to be asked, where one is known.
    """
    for c in manifest.candidates:
        if c.policy in policies and c.served and not _served(c, servers):
            raise BundleError(
                f"{bundle.folder}: {c.policy!r} lacks answers to some prompts and answers at"
                f" {c.served_at}; a bundle alone has nobody asked, so allow it"
                f" (--server {c.served_at})"
            )
    stuck = [
        c.policy
        for c in manifest.candidates
        if c.policy in policies and not (c.can_run or c.soup or _served(c, servers))
    ]
    if stuck:
        raise BundleError(
            f"{bundle.folder}: {stuck[0]!r} lacks answers to some prompts and can't run here (the"
            " bundle holds its figures only), so it can't be compared on them"
        )


def _soup(bundle: Bundle, candidate: Candidate, store: Store) -> Path:
    """A soup's adapter, made again from its parts: bundles keep those of members only.

    Raises:
        BundleError: a part has no adapter.
    """
    from palm_engine.lm.adapters.soup import write_soup

    parts = {evaluated_adapter(bundle, p): w for p, w in (candidate.soup or {}).items()}
    return write_soup(store.path(f"soups/{candidate.policy}"), parts)


def _with_soups_of_members(
    bundle: Bundle, manifest: Manifest, store: Store
) -> tuple[Manifest, dict[str, Path]]:
    """The manifest with an adapter for every soup that became a member, and these adapters."""
    from palm_engine.lm.adapters.files import adapter_sha256

    members = {m.policy for m in manifest.members}
    made = {
        c.policy: _soup(bundle, c, store)
        for c in manifest.candidates
        if c.policy in members and c.soup and c.adapter is None
    }
    candidates = tuple(
        c.model_copy(
            update={
                "adapter": f"adapters/{c.policy}",
                "adapter_sha256": adapter_sha256(made[c.policy]),
            }
        )
        if c.policy in made
        else c
        for c in manifest.candidates
    )
    return manifest.model_copy(update={"candidates": candidates}), made


def _remote(
    candidate: Candidate,
    remote: dict[str, Any],
    pairs: tuple[tuple[str, str], ...],
    count: int,
    base: RecordedBase,
    seed: int,
    store: Store,
    progress: Progress,
) -> pd.DataFrame:
    from palm_engine.lm.base_model.load import token_counter

    task = RemoteTask(
        policy=candidate.policy,
        system=candidate.system,
        prompts=pairs,
        samples=count,
        settings=base.sampling,
        seed=seed,
        **remote,
    )
    name = f"draws/{candidate.policy}.parquet"
    key = task.key
    if store.is_current(name, key):
        return pd.read_parquet(store.path(name))
    done = progress.stage(f"Ask {candidate.policy}", len(pairs) * count)
    return draw_remote(task, token_counter(base.folder), store, name, key, done)


def _scored(
    samples: pd.DataFrame,
    rewards: TraitRewards,
    prompts: pd.DataFrame,
    progress: Progress,
    title: str,
) -> pd.DataFrame:
    texts = dict(zip(prompts["prompt_id"], prompts["text"], strict=True))
    done = progress.stage(title, 1)
    return rewards.score(samples.reset_index(drop=True), texts, done)


def _certified(
    bundle: Bundle,
    manifest: Manifest,
    samples: pd.DataFrame,
    prompts: pd.DataFrame,
    rewards: TraitRewards,
    progress: Progress,
    options: ExtendOptions,
) -> Manifest:
    """The manifest with figures, members and certificate that follow from the answers."""
    names_of = [c.policy for c in manifest.candidates]
    costs = {c.policy: c.kl_cost for c in manifest.candidates} if manifest.with_cost else {}
    traits = [t.name for t in manifest.traits]
    data = Evaluated(names_of, {}, traits, samples, prompts, costs)
    k = options.k or len(manifest.members) or 4
    settings = Selection(k=min(k, len(data.policies)))
    done = progress.stage("Select and certify", 3)
    seed = manifest.built.seed or 0
    old = [m.policy for m in manifest.members]
    fixed = old if options.keep_members and old else None
    names, certificate = select_and_certify(data, settings, seed, done=done, members=fixed)
    means = {
        split: data.scores(split).mean(axis=0)
        for split in sorted(set(prompts["split"]))
        if split in SPLITS
    }
    candidates = tuple(
        c.model_copy(
            update={
                "rewards": named_weights(means["certify"][i], data.traits, 6),
                "warning": data.warnings.get(c.policy, c.warning),
                "evaluated": c.evaluated
                | {s: named_weights(m[i], data.traits, 6) for s, m in means.items()},
            }
        )
        for i, c in enumerate(manifest.candidates)
    )
    # A further trait makes other members of the same policies.
    same = set(names) == set(old) and set(data.traits) == set(bundle.traits)
    return manifest.model_copy(
        update={
            "candidates": candidates,
            "members": manifest.members
            if same
            else tuple(
                Member(policy=name, weights=weights)
                for name, weights in zip(
                    names, stand_for(names, candidates, data.traits), strict=True
                )
            ),
            "certificate": _kept_tests(bundle, certificate, same),
            "in_sample": None,
            "traits": tuple(_trait(t, rewards) for t in manifest.traits),
            # Both compare with the members.
            "reward_audit": _kept_audit(manifest, old, same, progress),
            "interpolation": manifest.interpolation if same else None,
        }
    )


def _kept_audit(
    manifest: Manifest, old: list[str], same_members: bool, progress: Progress
) -> RewardAudit | None:
    """The audit where it still says something: of the same members, or that rewards are fooled."""
    audit = manifest.reward_audit
    if audit is None or same_members:
        return audit
    progress.note(
        "The reward audit compared with the members of before; run palm rewards audit again."
    )
    return None if audit.passes else audit.model_copy(update={"against": tuple(old)})


def _without_old_scores(manifest: Manifest) -> Manifest:
    """Without what was measured by rewards that have changed since."""
    reading = manifest.reading
    return manifest.model_copy(
        update={
            "reward_audit": None,
            "interpolation": None,
            "reading": None if reading is None else reading.model_copy(update={"agreement": ()}),
        }
    )


def _kept_tests(bundle: Bundle, certificate: Certificate, same_members: bool) -> Certificate:
    """What the bundle's own certificate tested of its policies holds on."""
    own = bundle.manifest.certificate
    if own is None:
        return certificate
    kept: dict[str, object] = {
        "corner_tests": own.corner_tests,
        "planned_gap": own.planned_gap if same_members else None,
        "certified_on": certificate.certified_on.replace("opened once", "opened again"),
    }
    if same_members:
        kept |= {"diversity": own.diversity, "outside_test": own.outside_test}
    return certificate.model_copy(update=kept)


def _trait(trait: TraitInfo, rewards: TraitRewards) -> TraitInfo:
    measure = next((m for m in rewards.measures if m.trait == trait.name), None)
    if measure is None:
        return trait
    found = trait_info(measure)
    return trait.model_copy(
        update={
            "reward_sha256": found.reward_sha256,
            "normalisation": found.normalisation,
            "card": found.card,
        }
    )


def work_folder(bundle: Path) -> Path:
    """Where drawn and scored answers of a bundle are kept if nothing else is said."""
    mark = hashlib.sha256(str(bundle.resolve()).encode()).hexdigest()[:8]
    return bundle.with_name(f".{bundle.name}.extend-{mark}")
