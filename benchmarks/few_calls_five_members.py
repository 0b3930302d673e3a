"""Claim: with five members and 35 oracle calls the worst gap is at most .70 of PALM's grid and
greedy.
"""

from __future__ import annotations

from benchmarks.common import BETA, Row, pool, true_gap
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.selection.options import Options
from palm_engine.selection.palm import palm
from palm_engine.selection.placement import placement
from palm_engine.selection.result import Target


def placed() -> Row:
    """Worst multiplicative gap with five members and at most 35 calls."""
    ours = []
    theirs = []
    calls = []
    for seed in range(3):
        oracle = GibbsOracle(pool(seed), BETA)
        found = placement(oracle, Target(k=5, multiplicative=True), Options(budget=35))
        calls.append(found.oracle_calls)
        ours.append(true_gap(oracle, found.points)[1])
        baseline = palm(oracle, Target(k=5), Options(grid_eps=0.2, grid_delta=0.2), lazy=False)
        size = baseline.oracle_calls
        theirs.append(true_gap(oracle, baseline.points)[1])
    ratios = [f"{a / b:.2f}" for a, b in zip(ours, theirs, strict=True)]
    return (
        f"worst multiplicative gap with k=5, {calls} oracle calls, KL pools of the demo (goal .70)",
        f"{', '.join(f'{g:.4f}' for g in ours)}: {', '.join(ratios)} of the reference",
        (
            f"PALM's grid (reconstructed, {size} weights) + greedy:"
            f" {', '.join(f'{g:.4f}' for g in theirs)}"
        ),
    )


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [placed()]
