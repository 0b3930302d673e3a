"""Exact worst gaps by linear programs, for envelopes with too many vertices to list.

That is d = 8 and some 200 members. One program per candidate q: the largest `w·q - t` over the
region with `t >= w·p` for every member p. Most are never solved: a program's multipliers mix the
members into a point z that no portfolio value is below (`V_P(w) >= w·z`), so every other
candidate's gap is at most the largest `w·(q - z)` over the region, which is a maximum over its
corners. Candidates whose bound is not above the worst gap found so far are left out.
"""

from __future__ import annotations

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import SolverError
from palm_engine.geometry.region import Region

LEAVE = 1e-12
# Members from which listing all vertices takes longer, by d; below d = 7 it never does.
FROM_MEMBERS = {7: 500, 8: 180}


def worst_by_programs(
    portfolio: Floats, candidates: Floats, region: Region | None = None, constant: float = 0.0
) -> tuple[float, Floats]:
    """The largest `w·q - constant - V_P(w)` over weights and candidates.

    Args:
        portfolio: members, shape (k, d).
        candidates: shape (n, d); may be scaled beforehand: (1-eps) q with `constant` delta is a
            violation of (eps, delta).
        region: the weights that count; None is the whole simplex.
        constant: taken off the candidates' values.

    Returns:
        The maximum, and its weights (d,).

    Raises:
        SolverError: HiGHS could not solve a program.
    """
    from scipy.optimize import linprog

    # Weights sum to 1, so a shift of all points changes no difference. Centred and scaled, the
    # solver's own tolerance is small beside them, however close together they are.
    centre = portfolio.mean(axis=0)
    spread = max(float(np.abs(x - centre).max()) for x in (portfolio, candidates)) or 1.0
    candidates = (candidates - centre) / spread
    p = np.unique((portfolio - centre) / spread, axis=0)
    k, d = p.shape
    region = region or Region.whole(d)
    corners = region.corners()
    rows = np.hstack([p, -np.ones((k, 1))])
    limits = [*zip(region.lower, region.upper, strict=True), (None, None)]
    # Bounds before any program: the best single member for each candidate; best so far: at the
    # corners.
    bound = np.full(len(candidates), np.inf)
    at_corners = candidates @ corners.T
    for z in p:
        np.minimum(bound, (at_corners - corners @ z).max(axis=1), out=bound)
    values = at_corners.max(axis=0) - (p @ corners.T).max(axis=0)
    best = float(values.max())
    at = corners[int(np.argmax(values))]
    while True:
        q = int(np.argmax(bound))
        if bound[q] <= best + LEAVE:
            return best * spread - constant, at
        solved = linprog(
            np.r_[-candidates[q], 1.0],
            A_ub=rows,
            b_ub=np.zeros(k),
            A_eq=np.r_[np.ones(d), 0.0][None],
            b_eq=[1.0],
            bounds=limits,
            method="highs",
        )
        if solved.x is None:
            raise SolverError(f"a worst gap's linear program was not solved: {solved.message}")
        w = np.clip(solved.x[:d], region.lower, region.upper)
        w /= w.sum()
        # Every candidate at these weights; the exact numbers, not the program's.
        reached = float((candidates @ w).max() - (p @ w).max())
        if reached > best:
            best = reached
            at = w
        mix = np.maximum(-solved.ineqlin.marginals, 0.0)
        z = mix @ p / mix.sum()
        np.minimum(bound, (at_corners - corners @ z).max(axis=1), out=bound)
        bound[q] = -np.inf  # its own program is solved; the others stay bounded


def worst_ratio_by_programs(
    portfolio: Floats, candidates: Floats, region: Region | None = None
) -> tuple[float, Floats]:
    """The largest `1 - V_P / V_Q` over weights, where V_Q is positive on all of them.

    Dinkelbach's method (1967, doi:10.1287/mnsc.13.7.492): the ratio is above r exactly where `(1-r)
    V_Q - V_P` is above 0, whose maximum is found as above. Ends after a few steps; above 1 it stops
    at what it has found.

    Args:
        portfolio: members, shape (k, d).
        candidates: shape (n, d).
        region: the weights that count; None is the whole simplex.

    Returns:
        The ratio, and its weights (d,).
    """
    _, at = worst_by_programs(portfolio, candidates, region)
    ratio = -np.inf
    while True:
        best = float((candidates @ at).max())
        found = 1 - float((portfolio @ at).max()) / best
        if found <= ratio + LEAVE or found >= 1:
            return max(ratio, found), at
        ratio = found
        violation, further = worst_by_programs(portfolio, (1 - ratio) * candidates, region)
        if violation <= LEAVE:
            return ratio, at
        at = further


def takes_programs(members: int, d: int) -> bool:
    """Whether programs are expected to be faster than listing vertices.

    Measured: beyond some 50,000 vertices.

    Args:
        members: number of members.
        d: number of traits.
    """
    return members >= FROM_MEMBERS.get(d, np.inf)
