"""Targets and selections."""

from __future__ import annotations

import numpy as np
import pytest

from palm_engine.errors import InvalidInputError
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.selection.methods import METHODS
from palm_engine.selection.options import Options
from palm_engine.selection.result import Target
from tests.support.bundles import sphere


def test_targets_that_mean_nothing_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="k must"):
        Target(k=0)
    with pytest.raises(InvalidInputError, match="give a target"):
        Target()


NAMES = sorted(METHODS)


@pytest.mark.parametrize(
    ("eps", "delta", "k"),
    [
        (1.0, 0, None),
        (1.5, 0.1, None),
        (-0.1, 0.1, None),
        (0, -0.1, None),
        (0, np.nan, None),
        (0.1, 0, 2),
    ],
)
def test_targets_that_make_no_sense_are_refused_before_any_method(
    eps: float, delta: float, k: int | None
) -> None:
    with pytest.raises(InvalidInputError):
        Target(k=k, eps=eps, delta=delta)


@pytest.mark.parametrize("select_name", NAMES)
def test_every_member_stands_for_weights_where_it_is_picked(select_name: str) -> None:
    points = sphere(40, 3, 6)
    found = METHODS[select_name].select(points, Target(k=4), Options(budget=20))
    stands = found.stands_for()
    assert len(stands) == len(found.members)
    for i, w in enumerate(stands):
        if w is not None:
            assert w.sum() == pytest.approx(1)
            # A region is convex, so its middle is inside.
            assert float(points[found.members[i]] @ w) == pytest.approx(
                float((found.points @ w).max()), abs=1e-3
            )


def test_an_oracles_members_stand_for_where_they_were_found() -> None:
    oracle = GibbsOracle(np.random.default_rng(3).random((12, 10, 3)), 0.1)
    found = METHODS["adaptive"].select(oracle, Target(k=3), Options(budget=15))
    for w, point in zip(found.stands_for(), found.points, strict=True):
        assert oracle.answer(np.asarray(w)[None]).points[0] == pytest.approx(point)
