"""The manifest of a finished build: candidates, plans, hashes, members."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from palm_engine.bundle.folder import read_bundle
from palm_engine.bundle.writing import write_bundle
from palm_engine.geometry.envelope import best_policy
from palm_engine.lm.adapters.files import adapter_sha256
from palm_engine.pipeline.assemble import assemble_manifest, package_versions
from palm_engine.pipeline.certify import certify, select_and_certify
from palm_engine.pipeline.evaluate import KlEstimate
from palm_engine.pipeline.rewards import TraitRewards
from tests.support.build import ADAPTERS, OUTSIDE, evaluated, no_encoder, policies, small_config

__all__ = ["no_encoder"]
pytestmark = pytest.mark.usefixtures("no_encoder")


def test_what_is_assembled_is_what_was_evaluated(tmp_path: Path) -> None:
    config = small_config()
    data = evaluated()
    rewards = TraitRewards.of(config)
    members, certificate = certify(data, config, rewards, 0.01)
    made = policies(tmp_path / "work")
    manifest = assemble_manifest(
        config,
        made,
        data,
        members,
        certificate,
        {"base": KlEstimate(1.5, 0.1, 24)},
        rewards=rewards,
        fingerprint="f" * 64,
        versions=package_versions(),
        created="2026-01-01T00:00:00+00:00",
    )
    assert [c.policy for c in manifest.candidates] == ["base", *ADAPTERS]
    assert [c.policy for c in manifest.outside] == [OUTSIDE]
    base = manifest.candidates[0]
    assert base.kl is not None
    assert base.kl.mean == 1.5
    assert base.adapter is None
    rows = data.samples[data.samples["prompt_id"].str.startswith("certify")]
    means = rows.groupby("policy")[list(data.traits)].mean()
    for candidate in manifest.candidates:
        expected = means.loc[candidate.policy].to_dict()
        assert candidate.rewards == pytest.approx(expected, abs=1e-6)
        assert set(candidate.evaluated) == {"choose", "certify"} | (
            {"train"} if candidate.adapter else set()
        )
    adapter = manifest.candidates[1]
    assert adapter.adapter_sha256 == adapter_sha256(tmp_path / "work" / adapter.policy)
    assert adapter.planned is not None
    assert adapter.planned.kl == pytest.approx(0.05 / 0.1)
    assert manifest.sampling == config.sampling.plain
    assert "numpy" in manifest.built.versions
    tables = {"prompts": data.prompts, "samples": data.samples}
    kept = {p.name: p.adapter for p in made if p.adapter is not None}
    bundle = write_bundle(tmp_path / "small", manifest, tables, kept)
    assert read_bundle(tmp_path / "small").manifest == manifest
    assert bundle.adapter_folder("lora-50-50").is_dir()


def test_a_member_stands_for_its_weights_or_for_where_it_is_picked(tmp_path: Path) -> None:
    config = small_config()
    data = evaluated()
    rewards = TraitRewards.of(config)
    chosen = ["base", "lora-100-00"]
    _, certificate = select_and_certify(data, config.selection, config.seed, members=chosen)
    manifest = assemble_manifest(
        config,
        policies(tmp_path),
        data,
        chosen,
        certificate,
        {},
        rewards=rewards,
        fingerprint="",
        versions={},
        created="",
    )
    by_name = {m.policy: m.weights for m in manifest.members}
    assert by_name["lora-100-00"] == {"calm": 1.0, "quick": 0.0}
    points = np.array(
        [[c.rewards[t] for t in data.traits] for c in manifest.candidates if c.policy in by_name]
    )
    own = np.array([by_name["base"][t] for t in data.traits])
    assert own.sum() == pytest.approx(1, abs=1e-5)
    assert best_policy(points, own[None])[0] in (0, 1)
