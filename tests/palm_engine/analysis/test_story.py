"""A portfolio beside the best single model, against the gaps themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from palm_engine.analysis.promise import promise
from palm_engine.analysis.story import best_single, loss_text, single_of, story, story_of
from palm_engine.bundle.folder import read_bundle
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.simplex import grid
from tests.support.bundles import sphere

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("seed", range(4))
def test_losses_are_the_exact_worst_ones(seed: int) -> None:
    points = sphere(9, 3, seed)
    told = story(points, [0, 3, 5])
    w = grid(3, 60)
    values = points @ w.T
    best = values.max(axis=0)
    loss = (1 - values[[0, 3, 5]].max(axis=0) / best).max()
    alone = (1 - values / best).max(axis=1)
    assert told.multiplicative
    assert loss - 1e-12 <= told.loss <= loss + 0.01
    # A single model's loss is largest at a corner, which the grid holds.
    assert told.single == (best - values).max(axis=1).argmin()
    assert told.single_loss == pytest.approx(alone[told.single])
    average = (1 - values[[0, 3, 5]].max(axis=0) / best).mean()
    assert told.expected == pytest.approx(average, abs=0.01)


@pytest.mark.parametrize("name", ["fixture", "shipped"])
def test_the_best_single_candidate_has_the_least_worst_gap(bundles: Path, name: str) -> None:
    bundle = read_bundle(bundles / "demo" if name == "fixture" else ROOT / "portfolios" / "demo")
    points = bundle.points
    found = [worst_gap(points[[i]], points, bundle.region) for i in range(len(points))]
    gaps = [g.additive for g in found]
    assert best_single(points, bundle.region) == gaps.index(min(gaps))
    barred = [gaps.index(min(gaps))]
    second = min(g for i, g in enumerate(gaps) if i not in barred)
    assert gaps[best_single(points, bundle.region, barred)] == second


@pytest.mark.parametrize("name", ["fixture", "shipped"])
def test_one_model_is_called_the_best_single_one_everywhere(bundles: Path, name: str) -> None:
    bundle = read_bundle(bundles / "demo" if name == "fixture" else ROOT / "portfolios" / "demo")
    certificate = bundle.manifest.certificate
    single = single_of(bundle)
    if certificate is None:
        assert single == best_single(bundle.points, bundle.region)
    else:
        assert bundle.policies[single] == certificate.single_best
        assert [bundle.policies[single]] == list(certificate.curve[0].members)
    told = story_of(bundle, bundle.members)
    assert told.single == single == story_of(bundle, [single]).single
    alone = worst_gap(bundle.points[[single]], bundle.points, bundle.region)
    assert told.single_loss == alone.multiplicative
    assert promise(bundle, tuple(bundle.members), None).single == alone.additive


def test_the_sentence_says_how_much_one_model_loses() -> None:
    points = np.eye(3) * 0.5 + 0.5
    words = story(points, [0, 1, 2]).in_words("reward units")
    assert words == (
        "One model can't suit everyone. These 3 together lose at most 0.0 % for any preference,"
        " 0.0 % on average; the best single one loses up to 50.0 %."
    )
    alone = story(points, [0]).in_words("x")
    assert alone.startswith("This one model loses up to 50.0 % for some preferences, ")
    assert alone.endswith(" % on average.")


def test_where_one_model_is_nearly_enough_it_says_so() -> None:
    points = np.array([[0.9, 0.9], [0.905, 0.5], [0.5, 0.905]])
    assert "one is nearly enough here" in story(points, [0, 1, 2]).in_words("x")


def test_losses_that_are_no_shares_are_counted_in_units() -> None:
    points = np.array([[0.2, -0.3], [-0.3, 0.2]])
    told = story(points, [0, 1])
    assert not told.multiplicative
    assert "reward minus KL cost" in told.in_words("reward minus KL cost")


def test_large_and_small_losses_are_said_rightly() -> None:
    assert loss_text(1.0, True, "") == "100.0 %"
    assert loss_text(0.0004, True, "") == "less than 0.1 %"
    assert loss_text(0.1058, True, "") == "10.6 %"
    assert loss_text(0.25, False, "reward units") == "0.250 reward units"


def test_a_single_model_that_is_better_is_not_called_nearly_enough() -> None:
    points = np.array([[0.9, 0.2], [0.2, 0.8], [0.85, 0.75]])
    assert "one model does better here" in story(points, [0, 1]).in_words("x")
    assert "for any preference with a at least 0.2, " in story(points, [0, 1]).in_words(
        "x", " with a at least 0.2"
    )
