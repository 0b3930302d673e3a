"""The baselines."""

from __future__ import annotations

from palm_engine.selection.methods import METHODS
from palm_engine.selection.options import Options
from palm_engine.selection.result import Target
from tests.support.bundles import sphere


def test_the_seed_is_what_random_depends_on() -> None:
    points = sphere(60, 3, 2)
    draws = {
        METHODS["random"].select(points, Target(k=4), Options(seed=s)).members for s in range(6)
    }
    again = METHODS["random"].select(points, Target(k=4), Options(seed=3)).members
    assert again in draws
    assert len(draws) > 1
