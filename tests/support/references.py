"""Slow references that share nothing with what they check."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog


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
