"""A portfolio beside the best single model, against the gaps themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from palm_engine.analysis.story import best_single, story
from palm_engine.bundle.folder import read_bundle
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.simplex import grid
from tests.support.bundles import sphere


@pytest.mark.parametrize("seed", range(4))
def test_losses_are_the_exact_worst_ones(seed: int) -> None:
    points = sphere(9, 3, seed)
    told = story(points, [0, 3, 5], 2)
    w = grid(3, 60)
    values = points @ w.T
    best = values.max(axis=0)
    loss = (1 - values[[0, 3, 5]].max(axis=0) / best).max()
    alone = (1 - values[2] / best).max()
    assert told.multiplicative
    assert loss - 1e-12 <= told.loss <= loss + 0.01
    # A single model's loss is largest at a corner, which the grid holds.
    assert told.single_loss == pytest.approx(alone)


def test_the_best_single_candidate_has_the_least_worst_gap(bundles: Path) -> None:
    bundle = read_bundle(bundles / "demo")
    gaps = [worst_gap(bundle.points[[i]], bundle.points).additive for i in range(7)]
    assert best_single(bundle) == gaps.index(min(gaps))


def test_the_sentence_says_how_much_one_model_loses() -> None:
    points = np.eye(3) * 0.5 + 0.5
    words = story(points, [0, 1, 2], 0).in_words("reward units")
    assert words == (
        "One model can't suit everyone. These 3 together lose at most 0 % for any preference; the"
        " best single one loses up to 50 %."
    )
    assert (
        story(points, [0], 0).in_words("x")
        == "This one model loses up to 50 % for some preferences."
    )


def test_where_one_model_is_nearly_enough_it_says_so() -> None:
    points = np.array([[0.9, 0.9], [0.905, 0.5], [0.5, 0.905]])
    assert "one is nearly enough here" in story(points, [0, 1, 2], 0).in_words("x")


def test_losses_that_are_no_shares_are_counted_in_units() -> None:
    points = np.array([[0.2, -0.3], [-0.3, 0.2]])
    told = story(points, [0, 1], 0)
    assert not told.multiplicative
    assert "reward minus KL cost" in told.in_words("reward minus KL cost")
