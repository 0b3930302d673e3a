"""Upper envelopes of awkward tables."""

from __future__ import annotations

import numpy as np
import pytest

from palm_engine.geometry.gap import worst_gap
from tests.support.references import lp_worst_gap


def test_separated_policies_agree_to_twelve_digits() -> None:
    for seed in range(20):
        points = np.random.default_rng(seed).random((30, 3))
        assert worst_gap(points[:4], points).additive == pytest.approx(
            lp_worst_gap(points[:4], points), abs=1e-12
        )


def test_near_duplicates_do_not_break_the_envelope() -> None:
    points = np.random.default_rng(1).random((6, 3))
    doubled = np.vstack([points, points + 1e-12])
    assert worst_gap(points[:3], doubled).additive == pytest.approx(
        worst_gap(points[:3], points).additive, abs=1e-9
    )
