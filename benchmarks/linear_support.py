"""Claim: certifying with the sandwich needs fewer calls and far less time than optimistic linear
support.

The peer is `LinearSupport` of morl-baselines (the extra `bench`), on the same oracle and pools. It
works with value vectors only, so the cost is folded in (u = v - c). Its own rule is an additive
improvement below an epsilon; to stop both at the same statement, its own upper bound at its own
corner weights is held against (1-eps) U - delta - V. It keeps every policy and chooses none, so its
like is the sandwich; `adaptive` also chooses the fewest members.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import time
import warnings
from functools import partial

import numpy as np

from benchmarks.common import BETA, Row, median_seconds, pool
from palm_engine.geometry.envelope import upper_envelope
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.selection.adaptive import adaptive
from palm_engine.selection.parts.sandwich import sandwich
from palm_engine.selection.result import Target

EPS = 0.05
DELTA = 0.01
MOST_CALLS = 200


def linear_support(oracle: GibbsOracle) -> int:
    """Calls of morl-baselines' OLS until its bound shows (EPS, DELTA)."""
    from morl_baselines.multi_policy.linear_support.linear_support import LinearSupport

    peer = LinearSupport(num_objectives=oracle.d, epsilon=None, verbose=False)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for calls in range(MOST_CALLS):
            w = peer.next_weight(algo="ols")
            if peer.ended():
                return calls
            if calls >= oracle.d:
                corners = np.array([w, *(q for _, q in peer.queue)])
                ours = upper_envelope(np.array(peer.ccs), corners)
                improvement = np.array([peer.ols_priority(w), *(p for p, _ in peer.queue)])
                if ((1 - EPS) * (ours + improvement) - DELTA - ours).max() <= 1e-9:
                    return calls
            peer.add_solution(oracle.answer(w[None]).points[0], w)
    raise RuntimeError(f"not certified within {MOST_CALLS} calls")


def rows() -> list[Row]:
    """All claims: (what, result, reference)."""
    calls = []
    theirs = []
    certify = []
    choose = []
    slow = []
    for seed in range(3):
        oracle = GibbsOracle(pool(seed), BETA)
        if not seed:
            linear_support(oracle)  # imports and first compilation aren't counted
        started = time.perf_counter()
        theirs.append(linear_support(oracle))
        slow.append(time.perf_counter() - started)
        calls.append(len(sandwich(oracle, EPS, DELTA).calls))
        certify.append(median_seconds(partial(sandwich, oracle, EPS, DELTA), 15))
        target = Target(eps=EPS, delta=DELTA)
        choose.append(median_seconds(partial(adaptive, oracle, target), 15))
    peer = statistics.median(slow)
    ours = statistics.median(certify)
    whole = statistics.median(choose)
    return [
        (
            (
                f"certified ({EPS}, {DELTA}), KL pools of the demo, beside optimistic linear"
                " support, three seeds"
            ),
            (
                f"{calls} calls, {1000 * ours:.0f} ms: {peer / ours:.0f}x faster; "
                f"with the choice of members {1000 * whole:.0f} ms: {peer / whole:.0f}x"
            ),
            f"morl-baselines' LinearSupport, same oracle and target: {theirs} calls, {peer:.1f} s",
        )
    ]
