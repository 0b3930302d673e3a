"""Interpolation as a rival: soups and mixtures of the corner adapters, at any weights.

A rewarded soup adds the corners' adapters up with the user's weights (Ramé et al. 2023, arXiv
2306.04488); decoding-time mixing adds their logits up at every token (Shi et al. 2024, arXiv
2406.18853). Both serve every weights from d adapters, so what they are worth stands beside what the
portfolio's picked member is worth, on the same prompts and by the same rewards. At equal cost: a
portfolio of d, which hosts as many adapters.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from palm_engine._types import Floats
from palm_engine.analysis.choosing import select
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import Interpolated, Interpolation
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.confidence import mean_bound
from palm_engine.geometry.pick import pick_info
from palm_engine.geometry.simplex import named_weights
from palm_engine.pipeline.engines.interface import Engine
from palm_engine.pipeline.engines.local import LocalEngine
from palm_engine.pipeline.evaluate import prompt_means
from palm_engine.pipeline.mixture import MixTask, draw_mixture, mixture_key
from palm_engine.pipeline.progress import Progress
from palm_engine.pipeline.recorded import drawn, evaluated_adapter, recorded_base, recorded_rewards
from palm_engine.pipeline.sample import DrawTask, draw, draw_key
from palm_engine.pipeline.store import Store

SPLIT = "choose"
CONFIDENCE = 0.95


def corner_adapters(bundle: Bundle) -> list[str]:
    """Candidates with an adapter that was trained for one trait alone, in the order of the traits.

    Raises:
        InvalidInputError: a trait has none, or they run under different system prompts.
    """
    found = []
    for trait in bundle.traits:
        own = bundle.corner(trait)
        if own is None or own.adapter is None:
            raise InvalidInputError(
                f"{bundle.folder}: no adapter was trained for {trait!r} alone, so there is nothing"
                " to interpolate between; palm build trains the corners"
            )
        found.append(own.policy)
    if len({bundle.candidate(p).system or "" for p in found}) > 1:
        raise InvalidInputError(
            f"{bundle.folder}: the corner adapters run under different system prompts, so they have"
            " no mixture"
        )
    return found


def equal_members(bundle: Bundle, count: int) -> list[str]:
    """The portfolio of `count` policies: of the certificate's curve, else the best of that size.

    Args:
        bundle: with candidates.
        count: of policies; all where there are fewer.
    """
    certificate = bundle.manifest.certificate
    if certificate is not None:
        for point in certificate.curve:
            if point.k == count:
                return list(point.members)
    return list(select(bundle, k=min(count, len(bundle.policies))).policies)


def measure_interpolation(
    bundle: Bundle,
    work: Path,
    progress: Progress,
    random: int = 10,
    prompts: int = 60,
    seed: int = 0,
    workers: int = 2,
    batch_size: int = 48,
) -> Interpolation:
    """Draw and score a soup and a mixture of the corners, at the members' and at random weights.

    Args:
        bundle: with adapters at the corners, recorded answers and known rewards.
        work: folder of what was drawn and scored, reused by a repeated run.
        progress: what the run reports to.
        random: weights drawn uniformly from the simplex, at least 1.
        prompts: of the choose split, drawn at random; all where there are fewer.
        seed: of all draws.
        workers: processes that draw.
        batch_size: answers drawn at once in a process.

    Raises:
        InvalidInputError: no corner adapters, no members, or a reward that isn't known here or has
            changed since the bundle was scored.
        ModelSourceError: the base isn't the bundle's.
        ConfigError: another process works in `work`.
    """
    corners = corner_adapters(bundle)
    if not bundle.members:
        raise InvalidInputError(f"{bundle.folder}: there are no members to compare with")
    store = Store(work)
    with store.held():
        found = _measured(
            bundle,
            corners,
            store,
            progress,
            random,
            prompts,
            seed,
            LocalEngine(workers),
            batch_size,
        )
        store.say(progress.note)
        return found


def _measured(
    bundle: Bundle,
    corners: list[str],
    store: Store,
    progress: Progress,
    random: int,
    prompts: int,
    seed: int,
    engine: Engine,
    batch_size: int,
) -> Interpolation:
    from palm_engine.lm.adapters.soup import write_soup

    rewards, changed = recorded_rewards(bundle.manifest.traits, bundle.most_tokens, store)
    if changed:
        raise InvalidInputError(
            f"{bundle.folder}: a reward has changed since its answers were scored, so new scores"
            " can't be compared; run palm evaluate --rescore first"
        )
    base = recorded_base(bundle, progress)
    texts = _prompts(bundle, prompts, seed)
    rewards.try_out(next(iter(texts.values())))
    adapters = {p: evaluated_adapter(bundle, p, base.folder) for p in corners}
    points = _weights(bundle, random, seed)
    soups = []
    mixtures = []
    for i, w in enumerate(points):
        parts = {p: (float(x), adapters[p]) for p, x in zip(corners, w, strict=True) if x}
        soup = DrawTask(
            base.info.source,
            bundle.manifest.template,
            f"soup-{i}",
            bundle.candidate(corners[0]).system,
            write_soup(store.path(f"soups/{i}"), {f: x for x, f in parts.values()}),
            tuple(texts.items()),
            1,
            base.sampling,
            seed,
            batch_size,
        )
        soups.append(soup)
        mixtures.append(MixTask(replace(soup, policy=f"mixture-{i}", adapter=None), parts))
    keys = [draw_key(t, base.key) for t in soups]
    stage = partial(progress.stage, "Draw answers of soups")
    frames = drawn(draw, soups, keys, store, stage, engine)
    keys = [mixture_key(t, base.key) for t in mixtures]
    stage = partial(progress.stage, "Draw answers of mixtures")
    frames += drawn(draw_mixture, mixtures, keys, store, stage, engine)
    done = progress.stage("Score answers", 1)
    scored = rewards.score(pd.concat(frames).reset_index(drop=True), texts, done)
    for sentence in rewards.spent():
        progress.note(sentence)
    return _compared(bundle, corners, points, list(texts), scored, seed)


def _prompts(bundle: Bundle, count: int, seed: int) -> dict[str, str]:
    """Prompts of the split that every candidate answered, by id.

    Raises:
        InvalidInputError: there are fewer than two.
    """
    own = bundle.prompts[bundle.prompts["split"] == SPLIT]
    answered = bundle.samples[bundle.samples["prompt_id"].isin(own["prompt_id"])]
    per_prompt = answered.groupby("prompt_id", observed=True)["policy"].nunique()
    ids = sorted(str(p) for p in per_prompt.index[per_prompt >= len(bundle.policies)])
    if len(ids) < 2:
        raise InvalidInputError(
            f"{bundle.folder}: fewer than two {SPLIT} prompts were answered by every candidate"
        )
    rng = np.random.default_rng((seed, 5))
    chosen = sorted(rng.choice(ids, min(count, len(ids)), replace=False))
    texts = dict(zip(own["prompt_id"], own["text"], strict=True))
    return {str(p): str(texts[p]) for p in chosen}


def _weights(bundle: Bundle, random: int, seed: int) -> Floats:
    """The members' weights, then random ones, (m, d)."""
    own = [[m.weights[t] for t in bundle.traits] for m in bundle.manifest.members]
    rng = np.random.default_rng((seed, 6))
    uniform = rng.dirichlet(np.ones(len(bundle.traits)), max(1, random))
    return np.vstack([np.array(own, dtype=float), uniform])


def _compared(
    bundle: Bundle,
    corners: list[str],
    points: Floats,
    ids: list[str],
    drawn: pd.DataFrame,
    seed: int,
) -> Interpolation:
    recorded = prompt_means(bundle.samples, bundle.policies, ids, bundle.traits)
    members = bundle.members
    fixed = [bundle.row(p) for p in corners]
    equal = equal_members(bundle, len(corners))
    equal_rows = [bundle.row(p) for p in equal]
    rows = []
    differences: dict[tuple[str, str], list[Floats]] = {}
    for i, w in enumerate(points):
        member = pick_info(bundle.points, members, w).member
        corner = pick_info(bundle.points, fixed, w).member
        values = recorded @ w
        rivals = {
            kind: prompt_means(drawn, [f"{kind}-{i}"], ids, bundle.traits)[:, 0] @ w
            for kind in ("soup", "mixture")
        }
        portfolios = {
            "portfolio": values[:, member],
            "equal": values[:, pick_info(bundle.points, equal_rows, w).member],
        }
        is_member = i < len(members)
        rows.append(
            Interpolated(
                weights=named_weights(w, bundle.traits),
                is_member=is_member,
                member=bundle.policies[member],
                corner=bundle.policies[corner],
                portfolio_value=float(values[:, member].mean()),
                corner_value=float(values[:, corner].mean()),
                soup_value=float(rivals["soup"].mean()),
                mixture_value=float(rivals["mixture"].mean()),
                equal_value=float(portfolios["equal"].mean()),
            )
        )
        if not is_member:
            for pair in product(rivals, portfolios):
                difference = rivals[pair[0]] - portfolios[pair[1]]
                differences.setdefault(pair, []).append(difference)
    bounds = {
        pair: mean_bound(np.mean(found, axis=0), CONFIDENCE, seed=seed)
        for pair, found in differences.items()
    }
    return Interpolation(
        split=SPLIT,
        prompts=len(ids),
        seed=seed,
        corners=tuple(corners),
        rows=tuple(rows),
        soup_minus_portfolio=bounds["soup", "portfolio"],
        mixture_minus_portfolio=bounds["mixture", "portfolio"],
        equal_members=tuple(equal),
        soup_minus_equal=bounds["soup", "equal"],
        mixture_minus_equal=bounds["mixture", "equal"],
    )
