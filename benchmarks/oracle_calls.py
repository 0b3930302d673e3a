"""Claim: a dozen oracle calls certify (.05, .01) on KL pools over all weights.

PALM's lazy search needs as few for its grid: it has the same bound here. What it proves is about
the grid's weights; between them the grid's own tolerance comes on top.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.chart import line_chart
from benchmarks.common import BETA, Row, pool
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.selection.options import Options
from palm_engine.selection.palm import palm
from palm_engine.selection.parts.grids import grid_size
from palm_engine.selection.parts.sandwich import sandwich
from palm_engine.selection.result import Target


def certified() -> Row:
    """Oracle calls to a certified (.05, .01)."""
    calls = []
    lazy = []
    half = []
    seconds = []
    histories = []
    for seed in range(3):
        oracle = GibbsOracle(pool(seed), BETA)
        started = time.perf_counter()
        found = sandwich(oracle, 0.05, 0.01)
        seconds.append(time.perf_counter() - started)
        assert found.stopped == "target certified"
        calls.append(len(found.calls))
        histories.append(dict(found.history))
        grid = Options(grid_eps=0.05, grid_delta=0.01)
        # Its search has half of the target's tolerance, pruning the other half.
        lazy.append(palm(oracle, Target(eps=0.1, delta=0.02), grid).oracle_calls)
        half.append(palm(oracle, Target(eps=0.05, delta=0.01), grid).oracle_calls)
    steps = sorted(set.intersection(*(set(h) for h in histories)))
    line_chart(
        "oracle-calls",
        "Certified additive gap of all found policies by oracle calls (KL pools)",
        "oracle calls",
        "certified gap",
        steps,
        {f"pool {i}": [h[s] for s in steps] for i, h in enumerate(histories)},
    )
    return (
        (
            f"oracle calls to a certified (.05, .01), KL pools of the demo (beta {BETA}), three"
            " seeds (goal 12)"
        ),
        f"{calls} calls, {np.mean(seconds):.2f} s, for all weights"
        + (", no fewer than the reference" if sum(calls) >= sum(lazy) else ""),
        (
            f"lazy PALM's search, for its grid of {grid_size(3, 0.05, 0.01):,} weights only, at the"
            f" same tolerance: {lazy}; with half of it left to pruning: {half}"
        ),
    )


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [certified()]
