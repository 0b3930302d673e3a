"""Upper envelopes of awkward tables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from palm_engine.geometry.gap import worst_gap


def lp_worst_gap(portfolio: np.ndarray, candidates: np.ndarray, eps: float = 0.0) -> float:
    """max over q, w of (1-eps) w·q - t with t >= w·p for all p: one LP a candidate."""
    d = portfolio.shape[1]
    best = -np.inf
    for q in candidates:
        solved = linprog(
            np.r_[-(1 - eps) * q, 1.0],
            A_ub=np.hstack([portfolio, -np.ones((len(portfolio), 1))]),
            b_ub=np.zeros(len(portfolio)),
            A_eq=np.r_[np.ones(d), 0.0][None],
            b_eq=[1.0],
            bounds=[(0, None)] * d + [(None, None)],
        )
        assert solved.fun is not None
        best = max(best, -float(solved.fun))
    return best


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
