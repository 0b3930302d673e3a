"""Claims about oracle calls: certifying and placing portfolios on KL pools of the demo, beside PALM's grid."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from benchmarks.mathematics import Row
from palm_engine.bundle import read_bundle
from palm_engine.geometry.envelope import upper_envelope
from palm_engine.geometry.simplex import grid
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.selection.options import Options
from palm_engine.selection.palm import grid_size, palm
from palm_engine.selection.placement import placement
from palm_engine.selection.result import Target
from palm_engine.selection.sandwich import sandwich

DEMO = Path(__file__).resolve().parent.parent / "portfolios" / "demo"
BETA = 0.1


def pool(seed: int) -> np.ndarray:
    """The demo's scored pool, 40 of its prompts drawn by `seed`: shape (40, 26, 3)."""
    import pandas as pd

    bundle = read_bundle(DEMO)
    frame = pd.read_parquet(DEMO / "pool.parquet")
    prompts = np.random.default_rng(seed).choice(frame["prompt_id"].unique(), 40, replace=False)
    rows = frame[frame["prompt_id"].isin(prompts)].sort_values("prompt_id", kind="stable")
    return np.asarray(rows[bundle.traits].to_numpy().reshape(len(prompts), -1, len(bundle.traits)))


def true_gap(oracle: GibbsOracle, points: np.ndarray) -> tuple[float, float]:
    """Additive and relative worst gap on a fine grid, V itself being known."""
    weights = grid(oracle.d, 80)
    best = oracle.solve(weights).optimum
    ours = upper_envelope(points, weights)
    return float((best - ours).max()), float((1 - ours / best).max())


def certified() -> Row:
    """Oracle calls to a certified (.05, .01)."""
    calls, lazy, seconds = [], [], []
    for seed in range(3):
        oracle = GibbsOracle(pool(seed), BETA)
        started = time.perf_counter()
        found = sandwich(oracle, 0.05, 0.01)
        seconds.append(time.perf_counter() - started)
        assert found.stopped == "target certified"
        calls.append(len(found.calls))
        lazy.append(palm(oracle, Target(eps=0.05, delta=0.01), grid_eps=0.05, grid_delta=0.01, lazy=True).oracle_calls)
    return (
        f"oracle calls to a certified (.05, .01), KL pools of the demo (beta {BETA}), three seeds",
        f"{calls} calls, {np.mean(seconds):.2f} s",
        f"PALM's grid: {grid_size(3, 0.05, 0.01):,}; lazy PALM: {lazy}",
    )


def placed() -> Row:
    """Worst relative gap with five members and at most 35 calls."""
    ours, theirs, calls = [], [], []
    for seed in range(3):
        oracle = GibbsOracle(pool(seed), BETA)
        found = placement(oracle, Target(k=5, relative=True), Options(budget=35))
        calls.append(found.oracle_calls)
        ours.append(true_gap(oracle, found.points)[1])
        baseline = palm(oracle, Target(k=5), grid_eps=0.2, grid_delta=0.2)
        size = baseline.oracle_calls
        theirs.append(true_gap(oracle, baseline.points)[1])
    ratios = [f"{a / b:.2f}" for a, b in zip(ours, theirs, strict=True)]
    return (
        f"worst relative gap with k=5, {calls} oracle calls, the same pools",
        f"{', '.join(f'{g:.4f}' for g in ours)}: {', '.join(ratios)} of the reference",
        f"PALM's grid ({size} weights) + greedy: {', '.join(f'{g:.4f}' for g in theirs)}",
    )


def rows() -> list[Row]:
    """All claims: (what, result, reference)."""
    return [certified(), placed()]
