"""Candidates that combine adapters and cost no training: soups and mixtures.

Rewarded soups: Rame et al. 2023, arXiv 2306.04488; mixing at decoding: Shi et al. 2024, arXiv
2406.18853.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from palm_engine.bundle.names import trained_name
from palm_engine.pipeline.config import BuildConfig, OwnPolicy
from palm_engine.pipeline.policy import Policy
from palm_engine.pipeline.store import Store, key_of


def combined(config: BuildConfig, adapters: Sequence[Policy], store: Store) -> list[Policy]:
    """All candidates that combine others: the configuration's own, then soups of the corners.

    Args:
        config: says which.
        adapters: policies with an adapter, trained and given, that may be parts.
        store: keeps the adapters that soups become.
    """
    folders = {p.name: p.adapter for p in adapters if p.adapter is not None}
    systems = {p.name: p.system for p in adapters}
    own = [_own(p, folders, systems, store) for p in config.policies if p.parts is not None]
    return [*own, *_corner_soups(config, folders, store)]


def _own(
    given: OwnPolicy, folders: Mapping[str, Path], systems: Mapping[str, str | None], store: Store
) -> Policy:
    parts = given.parts or {}
    found = Policy(
        given.name,
        "soup",
        given.system or systems[next(iter(parts))],
        display_name=given.display_name,
    )
    if given.soup is None:
        mixed = {p: (x, folders[p]) for p, x in parts.items()}
        return replace(found, kind="mixture", mixture=mixed)
    return replace(found, adapter=_soup(given.name, parts, folders, store), soup=parts)


def _corner_soups(config: BuildConfig, folders: Mapping[str, Path], store: Store) -> list[Policy]:
    """Soups of the corner adapters at weights drawn uniformly."""
    rng = np.random.default_rng((config.seed, 31))
    d = len(config.traits)
    found: dict[str, Policy] = {}
    while len(found) < config.soups.count:
        w = rng.dirichlet(np.ones(d))
        name = trained_name(w).replace("lora-", "soup-", 1)
        parts = {
            trained_name(corner): float(x)
            for corner, x in zip(np.eye(d), np.round(w, 4), strict=True)
        }
        folder = _soup(name, parts, folders, store)
        found[name] = Policy(name, "soup", config.training.system, adapter=folder, soup=parts)
    return list(found.values())


def _soup(name: str, parts: dict[str, float], folders: Mapping[str, Path], store: Store) -> Path:
    """The adapter that a soup becomes, written where it isn't there yet."""
    from palm_engine.lm.adapters.files import adapter_sha256
    from palm_engine.lm.adapters.soup import write_soup

    kept = f"soups/{name}"
    key = key_of(parts, [adapter_sha256(folders[p]) for p in parts])
    if not store.is_current(kept, key):
        store.begin(kept)
        write_soup(store.path(kept), {folders[p]: x for p, x in parts.items()})
        store.finish(kept, key)
    return store.path(kept)
