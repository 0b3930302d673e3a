"""What the benchmark scripts share.

A claim's row, timing, points on a sphere, linear programs, the demo's pools.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import linprog

from palm_engine.bundle.folder import read_bundle
from palm_engine.geometry.envelope import upper_envelope
from palm_engine.geometry.simplex import grid
from palm_engine.oracles.gibbs import GibbsOracle

Row = tuple[str, str, str]  # what is claimed, the result, the reference in the same run
DEMO = Path(__file__).resolve().parent.parent / "portfolios" / "demo"
BETA = 0.1


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of `repeats` runs, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def sphere(count: int, d: int, seed: int = 0) -> np.ndarray:
    """Points on the positive part of the unit sphere."""
    points = np.abs(np.random.default_rng(seed).normal(size=(count, d)))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def lp_gap(portfolio: np.ndarray, candidates: np.ndarray) -> float:
    """The reference: one linear program a candidate."""
    d = portfolio.shape[1]
    a_ub = np.hstack([portfolio, -np.ones((len(portfolio), 1))])
    gaps = []
    for q in candidates:
        solved = linprog(
            np.r_[-q, 1.0],
            A_ub=a_ub,
            b_ub=np.zeros(len(portfolio)),
            A_eq=np.r_[np.ones(d), 0.0][None],
            b_eq=[1.0],
            bounds=[(0, None)] * d + [(None, None)],
        )
        assert solved.fun is not None, solved.message
        gaps.append(-float(solved.fun))
    return max(gaps)


def clipped_mean(truth: np.ndarray) -> np.ndarray:
    """Mean of clip(x + noise, 0, 1) for each coordinate, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    noisy = np.clip(truth[..., None] + 0.15 * nodes, 0, 1)
    return np.asarray((noisy * weights).sum(axis=-1) / weights.sum())


def pool(seed: int) -> np.ndarray:
    """The demo's scored pool, 40 of its prompts drawn by `seed`: shape (40, 26, 3)."""
    import pandas as pd

    bundle = read_bundle(DEMO)
    frame = pd.read_parquet(DEMO / "pool.parquet")
    prompts = np.random.default_rng(seed).choice(frame["prompt_id"].unique(), 40, replace=False)
    rows = frame[frame["prompt_id"].isin(prompts)].sort_values("prompt_id", kind="stable")
    return np.asarray(rows[bundle.traits].to_numpy().reshape(len(prompts), -1, len(bundle.traits)))


def true_gap(oracle: GibbsOracle, points: np.ndarray) -> tuple[float, float]:
    """Additive and multiplicative worst gap on a fine grid, V itself being known."""
    weights = grid(oracle.d, 80)
    best = oracle.solve(weights).optimum
    ours = upper_envelope(points, weights)
    return float((best - ours).max()), float((1 - ours / best).max())
