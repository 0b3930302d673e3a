"""Portfolios for users who don't add traits up, by names, beside definitions written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import palm_engine as palm
from palm_engine.errors import BundleError, InvalidInputError
from palm_engine.geometry.simplex import grid

TRAITS = ("safety", "humor", "brevity")


@pytest.fixture
def bundle(bundles: Path) -> palm.Bundle:
    return palm.read_bundle(bundles / "demo")


def losses(bundle: palm.Bundle, policies: tuple[str, ...], p: float) -> np.ndarray:
    """Shares of the best p-mean that are lost, on a lattice of weights."""
    w = grid(3, 60)
    points = bundle.points
    means = np.exp(w @ np.log(points).T) if p == 0 else (w @ points.T**p) ** (1 / p)
    rows = [bundle.row(name) for name in policies]
    share: np.ndarray = 1 - means[:, rows].max(axis=1) / means.max(axis=1)
    return share


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 3.0])
def test_members_for_a_mean_lose_what_is_said_and_no_others_less(
    bundle: palm.Bundle, p: float
) -> None:
    best = palm.select_by_utility(bundle, k=2, mean=p)
    sampled = losses(bundle, best.policies, p)
    assert sampled.max() <= best.loss + 1e-9
    assert best.loss <= sampled.max() + 0.02
    assert (best.unit, best.scope) == ("share", "candidates")
    assert best.lower_bound == pytest.approx(best.loss, abs=1e-6)
    names = bundle.policies
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert losses(bundle, (one, other), p).max() >= best.loss - 0.02


def test_given_members_are_looked_at_and_have_no_bound(bundle: palm.Bundle) -> None:
    own = tuple(bundle.policies[i] for i in bundle.members)
    told = palm.select_by_utility(bundle, members=own, at_least={"safety": 0.5}, price=2.0)
    assert told.policies == own
    assert told.lower_bound is None
    assert told.utility == "safety at least 0.5, a missing unit costs 2"
    values = bundle.points - 2 * np.maximum(0.5 - bundle.points[:, :1], 0)
    w = np.array([told.at[t] for t in TRAITS])
    rows = [bundle.row(name) for name in own]
    assert told.loss == pytest.approx((values @ w).max() - (values[rows] @ w).max(), abs=1e-9)


def test_the_worst_trait_is_bounded_and_names_who_is_never_best() -> None:
    points = {"left": (0.9, 0.1, 0.5), "right": (0.1, 0.9, 0.5), "middle": (0.48, 0.48, 0.49)}
    table = palm.RewardTable(
        policies=list(points),
        traits=list(TRAITS),
        rewards=np.array(list(points.values())),
        kl_cost=None,
        scores=None,
    )
    told = palm.select_by_utility(table, k=2, chebyshev=True)
    assert told.never_linear == ("middle",)
    assert told.scope == "sampled"
    assert told.loss <= told.upper
    assert palm.select_by_utility(table, members=["middle"], mean=1.0).never_linear == ()


def test_what_makes_no_sense_is_refused(bundle: palm.Bundle) -> None:
    for wrong, why in (
        ({"k": 2}, "give one utility"),
        ({"k": 2, "mean": 1.0, "chebyshev": True}, "give one utility"),
        ({"mean": 1.0}, "give k to choose"),
        ({"mean": 1.0, "k": 1, "members": ["m1"]}, "give k to choose"),
        ({"mean": 1.0, "members": []}, "at least one policy"),
        ({"k": 2, "at_least": {"wit": 0.5}}, "unknown trait 'wit'"),
        ({"k": 2, "at_least": {"humor": 1.5}}, "rewards are from 0 to 1"),
        ({"k": 2, "at_least": {"humor": 0.5}, "price": 0.0}, "more than 0"),
        ({"k": 2, "mean": 50.0}, "p from 0 to 20"),
        ({"k": 2, "mean": 1.0, "where": {"humor": (0.6, 0.4)}}, "humor"),
    ):
        with pytest.raises(InvalidInputError, match=why):
            palm.select_by_utility(bundle, **wrong)
    with pytest.raises(BundleError, match="no candidate 'nobody'"):
        palm.select_by_utility(bundle, members=["nobody"], mean=1.0)


def test_limits_hold_as_in_select(bundle: palm.Bundle) -> None:
    best = palm.select_by_utility(bundle, k=2, mean=0.0)
    without = palm.select_by_utility(bundle, k=2, mean=0.0, exclude=best.policies[:1])
    assert best.policies[0] not in without.policies
    assert without.loss >= best.loss
    inside = palm.select_by_utility(bundle, k=1, mean=0.0, where={"safety": (0.5, 1.0)})
    assert inside.at["safety"] >= 0.5 - 1e-9
    assert inside.loss <= palm.select_by_utility(bundle, k=1, mean=0.0).loss + 1e-9
