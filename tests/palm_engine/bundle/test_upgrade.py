"""A bundle of version 1 is read as one of version 2 that says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from palm_engine.bundle.folder import read_bundle
from palm_engine.bundle.upgrade import upgrade
from palm_engine.errors import BundleError
from tests.support.bundles import make_bundle


def as_version_1(raw: dict[str, Any]) -> dict[str, Any]:
    """What version 1 called things."""

    def candidate(entry: dict[str, Any]) -> dict[str, Any]:
        old = {**entry, "values": entry["rewards"], "cost": 0.25, "adapter_sha256": "a" * 64}
        del old["rewards"]
        old.pop("kl_cost", None)
        old["planned"] = {"values": entry["rewards"], "kl": 1.5, "beta": 0.1}
        return old

    return raw | {
        "format_version": 1,
        "sampling": {},
        "candidates": [candidate(c) for c in raw["candidates"]],
        "outside": [candidate({**raw["candidates"][0], "policy": "left-out"})],
    }


@pytest.fixture
def old(tmp_path: Path) -> Path:
    bundle = make_bundle(tmp_path / "old")
    path = bundle.folder / "portfolio.json"
    path.write_text(json.dumps(as_version_1(json.loads(path.read_text()))))
    return bundle.folder


def test_version_1_is_read_under_its_new_names(old: Path) -> None:
    new = make_bundle(old.parent / "new")
    bundle = read_bundle(old)
    assert bundle.manifest.format_version == 2
    assert bundle.policies == new.policies
    assert bundle.points == pytest.approx(new.points)
    assert bundle.manifest.sampling is None
    for candidate in (*bundle.manifest.candidates, *bundle.manifest.outside):
        assert candidate.kl_cost == 0.25
        # What was hashed then: the weights alone.
        assert candidate.adapter_weights_sha256 == "a" * 64
        assert candidate.adapter_sha256 is None
        assert candidate.planned is not None
        assert candidate.planned.rewards == candidate.rewards


def test_what_is_given_is_not_changed_and_what_is_malformed_stays_so(old: Path) -> None:
    raw = json.loads((old / "portfolio.json").read_text())
    before = json.dumps(raw)
    upgrade(raw)
    assert json.dumps(raw) == before
    assert upgrade({"candidates": 3, "outside": [None]})["candidates"] == 3
    raw["candidates"][0]["values"] = {"safety": 2}
    (old / "portfolio.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match=r"candidates\.0\.rewards"):
        read_bundle(old)
