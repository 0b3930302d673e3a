"""The guarantee in words: its numbers are the bundle's."""

from __future__ import annotations

from pathlib import Path

import pytest

from palm_engine.analysis.guarantee import as_json, planned_and_reached, statements
from palm_engine.bundle.folder import read_bundle

ROOT = Path(__file__).resolve().parents[3]


DEMO = ROOT / "portfolios" / "demo"


def test_the_demo_says_its_own_numbers() -> None:
    bundle = read_bundle(DEMO)
    certificate = bundle.manifest.certificate
    assert certificate is not None
    said = {
        s.heading: s.text for s in statements(bundle, tuple(bundle.members), certificate.additive)
    }
    assert f"{certificate.additive.estimate:.4f}" in said["Promise"]
    assert f"{certificate.additive.upper:.4f}" in said["Confidence"]
    assert "candidates" in said["Scope"]
    everything = as_json(bundle, tuple(bundle.members), certificate.additive)
    assert everything["worst_gap"]["additive"] == pytest.approx(
        certificate.additive.estimate, abs=2e-6
    )
    reached = {r.policy: r for r in planned_and_reached(bundle, bundle.members)}
    assert set(reached) == {c.policy for c in bundle.manifest.candidates if c.kind == "adapter"}
