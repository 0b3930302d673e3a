"""How many are enough, against the definition written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from palm_engine.analysis.curves import best_of_every_size
from palm_engine.analysis.verdict import share_verdict, tolerances, verdict
from palm_engine.geometry.fields import population
from palm_engine.geometry.gap import worst_gap
from tests.support.bundles import sphere

POINTS = sphere(12, 3, 3)
NAMES = [f"p{i}" for i in range(12)]
INFO = best_of_every_size(POINTS, NAMES, 6)


def test_in_percent_the_fewest_whose_promise_is_kept_are_enough() -> None:
    info = replace(
        INFO,
        sizes=(1, 2, 3),
        choose=(0.5, 0.2, 0.1),
        certify=(0.5, 0.2, 0.1),
        upper=(0.6, 0.31, 0.2),
        confidence=0.95,
    )
    assert share_verdict(info, 0.31).size == 2
    told = share_verdict(info, 0.4).in_words(" with safety at least 0.2")
    assert told == (
        "2 members are enough for a loss of at most 40.0 % of what the best would give, whatever"
        " the user with safety at least 0.2, with 95% confidence."
    )
    assert share_verdict(replace(info, certify=None, upper=None), 0.2).size == 2
    none = share_verdict(info, 0.1)
    assert none.size is None
    assert "the best, with 3, promises 20.0 %" in none.in_words()
    assert share_verdict(info, 0.7).in_words().startswith("One model is enough")


@pytest.mark.parametrize("tolerance", [0.005, 0.03, 0.08, 0.2])
def test_the_fewest_that_keep_the_tolerance_are_enough(tolerance: float) -> None:
    told = verdict(INFO, NAMES, POINTS, tolerance)
    w = population(3)
    for row in told.rows:
        members = [NAMES.index(m) for m in row.members]
        assert row.worst == pytest.approx(worst_gap(POINTS[members], POINTS).additive)
        gaps = (POINTS @ w.T).max(axis=0) - (POINTS[members] @ w.T).max(axis=0)
        assert row.expected == pytest.approx(gaps.mean())
        assert row.covered == pytest.approx((gaps <= tolerance).mean())
    kept = [r.size for r in told.rows if r.worst <= tolerance]
    if kept:
        assert told.enough is not None
        assert told.enough.size == min(kept)
        assert f"at most {tolerance:.3f} reward units, " in told.in_words()
        chosen = POINTS[[NAMES.index(m) for m in told.enough.members]]
        share = worst_gap(chosen, POINTS).multiplicative
        assert told.share == share
        assert f"up to {100 * (share or 0):.1f} %" in told.in_words()
    else:
        assert told.enough is None
        assert "No size up to" in told.in_words()


def test_where_there_is_a_bound_it_decides() -> None:
    upper = tuple(x + 0.05 for x in INFO.choose)
    bounded = replace(INFO, certify=INFO.choose, upper=upper, confidence=0.95)
    tolerance = INFO.choose[2] + 0.001
    plain = verdict(INFO, NAMES, POINTS, tolerance)
    careful = verdict(bounded, NAMES, POINTS, tolerance)
    assert plain.enough is not None
    assert plain.enough.size == 3
    assert careful.enough is None or careful.enough.size > 3
    assert "95% confidence" in careful.in_words()


def test_the_first_tolerance_is_one_that_some_size_keeps() -> None:
    first, most = tolerances(INFO)
    assert 0 < first <= most
    assert verdict(INFO, NAMES, POINTS, first).enough is not None
    assert np.isclose(first / 0.001, round(first / 0.001))


def test_a_promise_just_above_the_tolerance_is_not_rounded_down_to_it() -> None:
    info = replace(
        INFO, certify=INFO.choose, upper=tuple(0.0503 for _ in INFO.sizes), confidence=0.95
    )
    words = verdict(info, NAMES, POINTS, 0.05).in_words()
    assert "promises 0.0503" in words
