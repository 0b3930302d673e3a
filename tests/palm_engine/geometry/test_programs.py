"""Worst gaps by linear programs against those at listed vertices: two exact ways, one answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.geometry import gap as module
from palm_engine.geometry.gap import worst_additive_gap, worst_gap, worst_violation
from palm_engine.geometry.programs import takes_programs, worst_by_programs
from palm_engine.geometry.region import Region
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.result import Target
from tests.support.bundles import sphere


def both(call: Callable[[], Any]) -> tuple[Any, Any]:
    """The same by listing vertices, and by linear programs."""
    with patch.object(module, "takes_programs", lambda *_: False):
        vertices = call()
    with patch.object(module, "takes_programs", lambda *_: True):
        return vertices, call()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 7), st.booleans(), st.booleans())
def test_programs_and_vertices_agree(
    seed: int, d: int, k: int, rounded: bool, restricted: bool
) -> None:
    rng = np.random.default_rng(seed)
    q = rng.random((20, d))
    q = q.round(1) if rounded else q  # ties and duplicates
    p = q[rng.permutation(20)[:k]]
    region = Region(np.full(d, 0.3 / d), np.full(d, 1 - 0.5 / d)) if restricted else None
    a, b = both(lambda: worst_gap(p, q, region))
    assert a.additive == pytest.approx(b.additive, abs=1e-9)
    assert (a.multiplicative is None) == (b.multiplicative is None)
    if a.multiplicative is not None and b.multiplicative is not None:
        assert a.multiplicative == pytest.approx(b.multiplicative, abs=1e-8)
    for w in (b.at_weights_additive, b.at_weights_multiplicative):
        if w is not None:
            assert (region or Region.whole(d)).contains(w)[0]
            assert w.sum() == pytest.approx(1)
    a, b = both(lambda: worst_additive_gap(p, q, region))
    assert a == pytest.approx(b, abs=1e-9)
    a, b = both(lambda: worst_violation(p, q, 0.1, 0.02, region)[0])
    assert a == pytest.approx(b, abs=1e-9)


def test_negative_points_from_costs_and_outside_members() -> None:
    rng = np.random.default_rng(3)
    q = rng.random((15, 4)) - 0.4
    p = rng.random((3, 4))
    a, b = both(lambda: worst_gap(p, q))
    assert a.additive == pytest.approx(
        b.additive, abs=1e-9
    )  # may be negative: no member is a candidate
    assert a.multiplicative == pytest.approx(b.multiplicative, abs=1e-9)
    a, b = both(lambda: worst_gap(q[:3], q - 0.6))
    assert a.multiplicative is b.multiplicative is None


def test_many_members_in_many_traits_take_programs() -> None:
    assert not takes_programs(1000, 6)
    assert not takes_programs(60, 8)
    points = sphere(300, 8, 0)
    assert takes_programs(200, 8)
    a, b = both(lambda: worst_additive_gap(points[:40], points))
    assert a == pytest.approx(b, abs=1e-9)


def test_excluding_one_of_many_in_eight_traits_is_quick() -> None:
    points = sphere(400, 8, 0)
    options = Options(exclude=(0,), time_limit=1)
    found = minimum(points, Target(k=3), options)
    assert found.gap_lower_bound is not None
    assert 0 < found.gap_lower_bound <= found.gap.additive


@pytest.mark.parametrize("spread", [1e-7, 1.0, 1e5])
@pytest.mark.parametrize("centre", [0.0, 0.5, -3.0])
def test_scale_and_place_change_nothing_but_the_unit(spread: float, centre: float) -> None:
    points = sphere(40, 4, 2)
    members = points[:6]
    gap, at = worst_by_programs(members, points)
    moved, where = worst_by_programs(centre + spread * members, centre + spread * points)
    assert moved == pytest.approx(spread * gap, rel=1e-6, abs=1e-13)
    reached = (points @ where).max() - (members @ where).max()
    assert reached == pytest.approx((points @ at).max() - (members @ at).max(), rel=1e-6)
    violation, _ = worst_by_programs(
        centre + spread * members, centre + spread * points, constant=0.3
    )
    assert violation == pytest.approx(spread * gap - 0.3, rel=1e-6)
