"""Diversity of answers at cases that are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from palm_engine.pipeline.diversity import mean_distance, vendi_score


def test_all_alike_and_all_apart() -> None:
    alike = np.ones((4, 3, 1))
    apart = np.broadcast_to(np.eye(3), (4, 3, 3))
    assert mean_distance(alike) == pytest.approx(0)
    assert vendi_score(alike) == pytest.approx(1)
    assert mean_distance(apart) == pytest.approx(1)
    assert vendi_score(apart) == pytest.approx(3)


def test_two_alike_and_one_apart() -> None:
    vectors = np.array([[[1.0, 0], [1, 0], [0, 1]]])
    assert mean_distance(vectors) == pytest.approx(2 / 3)
    # Eigenvalues 2/3 and 1/3.
    assert vendi_score(vectors) == pytest.approx(3 / 2 ** (2 / 3))


def test_one_member_is_no_diversity() -> None:
    one = np.ones((2, 1, 4)) / 2
    assert mean_distance(one) == 0.0
    assert vendi_score(one) == pytest.approx(1)
