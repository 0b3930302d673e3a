"""Certified greedy: add the best candidate where the portfolio is worst, then drop members.

Unlike greedy set cover on a finite weight set, the worst weights come from the exact gap, so what
it returns meets the target everywhere. Greedy set cover and its bound: Johnson (1974,
doi:10.1016/S0022-0000(74)80044-9), Chvatal (1979, doi:10.1287/moor.4.3.233); here rows are
generated as they are needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from palm_engine.errors import InfeasibleError
from palm_engine.geometry.gap import require_target
from palm_engine.oracles.interface import Oracle
from palm_engine.oracles.table import as_table
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.cuts import TOLERANCE, Cuts, worst_first
from palm_engine.selection.result import Selection, Target


def greedy(candidates: ArrayLike | Oracle, target: Target, options: Options = DEFAULT) -> Selection:
    """Few members for a tolerance, or k members with a small gap; the gap is exact.

    Args:
        candidates: points (n, d), or a table oracle.
        target: an additive one.
        options: guardrails; stopped by a time limit, it returns what it has, whose exact gap is
            then above the target.

    Raises:
        InfeasibleError: the eligible candidates can't meet the target.
        InvalidInputError: options that make no sense here.
    """
    target.require_additive("greedy")
    q = as_table(candidates)
    started = time.perf_counter()
    options.check(len(q), q.shape[1], target)
    cuts = Cuts(q, options)

    def late() -> bool:
        return options.late(started)

    if target.k is not None:
        members = best_at_worst(target.k, cuts, late)
    else:
        require_target(q, target.eps, target.delta, options.region)
        members = complete([], cuts, target.eps, target.delta, late)
    stopped = "time limit" if late() else "greedy done"
    return cuts.selection("greedy", members, seconds=time.perf_counter() - started, stopped=stopped)


def complete(
    members: list[int],
    cuts: Cuts,
    eps: float,
    delta: float,
    late: Callable[[], bool] = lambda: False,
) -> list[int]:
    """Add the best candidate at the worst weights until the target is met, then drop the needless.

    Args:
        members: columns to begin with.
        cuts: the weights so far; more are added.
        eps: multiplicative tolerance, in [0, 1).
        delta: additive tolerance, at least 0.
        late: once it says so, what is there is returned.

    Raises:
        InfeasibleError: the eligible candidates can't meet the target.
    """
    chosen = sorted({*members, *cuts.require}) or [int(np.argmin(cuts.deficit.max(axis=0)))]
    while True:
        vertices, violation = cuts.gaps(chosen, eps, delta)
        best = int(np.argmax(vertices[int(np.argmax(violation))] @ cuts.points.T))
        if violation.max() <= 10 * TOLERANCE or late():
            break
        if best in chosen:
            raise InfeasibleError(
                f"no portfolio of the eligible candidates meets eps {eps:g}, delta {delta:g};"
                " loosen them"
            )
        chosen.append(best)
    for column in chosen[:]:
        if late():
            break
        rest = [c for c in chosen if c != column]
        if (
            rest
            and column not in cuts.require
            and cuts.gaps(rest, eps, delta)[1].max() <= 10 * TOLERANCE
        ):
            chosen = rest
    return chosen


def best_at_worst(k: int, cuts: Cuts, late: Callable[[], bool] = lambda: False) -> list[int]:
    """Add the best candidate at the worst weights until there are k; weights met become cuts.

    Args:
        k: number of members.
        cuts: the weights so far; more are added.
        late: once it says so, what is there is returned.
    """
    members = list(cuts.require) or [int(np.argmin(cuts.deficit.max(axis=0)))]
    while True:
        vertices, gaps = cuts.gaps(members)
        cuts.add(worst_first(vertices, gaps, 0.0))
        best = int(np.argmax(vertices[int(np.argmax(gaps))] @ cuts.points.T))
        if len(members) >= k or gaps.max() <= TOLERANCE or best in members or late():
            return sorted(members)
        members.append(best)
