"""Exact worst gaps of a portfolio over the whole simplex: no sampling of weights.

On a cell of P's envelope V_P is linear and V_Q convex, so the additive and the (eps, delta) gap are
largest at a vertex of the envelope; the ratio V_P / V_Q is quasi-concave there where V_Q > 0 and
V_P >= 0, so the multiplicative gap is too. One matrix product at the vertices gives the maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.errors import UndefinedGapError
from palm_engine.geometry.envelope import envelope_vertices, upper_envelope
from palm_engine.geometry.policies import as_points
from palm_engine.geometry.programs import takes_programs, worst_by_programs, worst_ratio_by_programs
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import named_weights

POSITIVE = 1e-9


@dataclass(frozen=True)
class WorstGap:
    """A worst gap over the simplex and where it happens.

    Attributes:
        additive: in reward units.
        at_weights_additive: where it is reached, (d,).
        multiplicative: as a share of the best value (0.03 is 3 %); above 1 where the portfolio's
            value is negative; None where it is not defined.
        at_weights_multiplicative: where that is reached, (d,), or None.
        undefined: why the multiplicative gap is not defined, or None.
        traits: names of the traits, for `at`; may be empty.
    """

    additive: float
    at_weights_additive: Floats
    multiplicative: float | None
    at_weights_multiplicative: Floats | None
    undefined: str | None = None
    traits: tuple[str, ...] = ()

    @property
    def at(self) -> dict[str, float]:
        """The weights of the additive worst gap by trait (by number where traits have no names)."""
        names = self.traits or tuple(map(str, range(len(self.at_weights_additive))))
        return named_weights(self.at_weights_additive, names)


def worst_gap(
    portfolio: ArrayLike, candidates: ArrayLike, region: Region | None = None
) -> WorstGap:
    """The exact worst additive and multiplicative gap of a portfolio (scope: candidates).

    Args:
        portfolio: members, shape (k, d); if they are not among the candidates, the additive gap may
            be negative.
        candidates: shape (n, d).
        region: the weights that count; None is the whole simplex.

    Raises:
        InvalidInputError: shapes don't fit, or a number is not finite.
        SolverError: a linear program could not be solved.
    """
    p = as_points(portfolio)
    q = as_points(candidates, p.shape[1])
    programs = takes_programs(len(p), p.shape[1])
    if programs:
        additive, at_additive = worst_by_programs(p, q, region)
    else:
        vertices, ours, best = _at_vertices(p, q, region)
        worst = int(np.argmax(best - ours))
        additive = float(best[worst] - ours[worst])
        at_additive = vertices[worst]
    lowest = _at_least(q)
    if lowest <= 1e-12:
        lowest, _ = minimum_of_envelope(q, region)
    if lowest <= 1e-12:
        reason = (
            f"the best value falls to {lowest:.3g} on the simplex; a ratio to it means nothing"
            " there"
        )
        return WorstGap(additive, at_additive, None, None, reason)
    if programs:
        return WorstGap(additive, at_additive, *worst_ratio_by_programs(p, q, region))
    ratios = 1 - ours / best
    at = int(np.argmax(ratios))
    return WorstGap(additive, at_additive, float(ratios[at]), vertices[at])


def worst_additive_gap(
    portfolio: ArrayLike, candidates: ArrayLike, region: Region | None = None
) -> float:
    """The additive part of `worst_gap` alone: for bootstraps and searches.

    Args:
        portfolio: members, shape (k, d).
        candidates: shape (n, d).
        region: the weights that count; None is the whole simplex.

    Returns:
        The gap in reward units.
    """
    p = np.asarray(portfolio, dtype=float)
    q = np.asarray(candidates, dtype=float)
    if takes_programs(len(p), p.shape[1]):
        return worst_by_programs(p, q, region)[0]
    _, ours, best = _at_vertices(p, q, region)
    return float((best - ours).max())


def worst_multiplicative_gap(
    portfolio: ArrayLike, candidates: ArrayLike, region: Region | None = None
) -> float:
    """The multiplicative part of `worst_gap`.

    Args:
        portfolio: members, shape (k, d).
        candidates: shape (n, d).
        region: the weights that count; None is the whole simplex.

    Returns:
        The gap as a share of the best value.

    Raises:
        UndefinedGapError: the best value is not positive everywhere.
    """
    found = worst_gap(portfolio, candidates, region)
    if found.multiplicative is None:
        raise UndefinedGapError(found.undefined or "the multiplicative gap is not defined")
    return found.multiplicative


def worst_violation(
    portfolio: ArrayLike,
    candidates: ArrayLike,
    eps: float,
    delta: float,
    region: Region | None = None,
) -> tuple[float, Floats]:
    """How far a portfolio is from an (eps, delta)-portfolio, at worst.

    Args:
        portfolio: members, shape (k, d).
        candidates: shape (n, d).
        eps: multiplicative tolerance, in [0, 1).
        delta: additive tolerance, at least 0.
        region: the weights that count; None is the whole simplex.

    Returns:
        The largest `(1-eps) V_Q - delta - V_P`, at most 0 for an (eps, delta)-portfolio, and its
        weights (d,).

    Raises:
        UndefinedGapError: eps > 0 and V_Q is negative somewhere.
    """
    p = as_points(portfolio)
    q = as_points(candidates, p.shape[1])
    require_target(q, eps, delta, region)
    if takes_programs(len(p), p.shape[1]):
        return worst_by_programs(p, (1 - eps) * q, region, delta)
    vertices = envelope_vertices(p, region)
    violation = (1 - eps) * upper_envelope(q, vertices) - delta - upper_envelope(p, vertices)
    worst = int(np.argmax(violation))
    return float(violation[worst]), vertices[worst]


def _at_vertices(p: Floats, q: Floats, region: Region | None) -> tuple[Floats, Floats, Floats]:
    vertices = envelope_vertices(p, region)
    return vertices, upper_envelope(p, vertices), upper_envelope(q, vertices)


def check_tolerance(eps: float, delta: float) -> None:
    """Check a tolerance.

    Raises:
        UndefinedGapError: not 0 <= eps < 1 and delta >= 0, both finite.
    """
    if not (0 <= eps < 1 and 0 <= delta < np.inf):
        raise UndefinedGapError(
            f"a target needs 0 <= eps < 1 and delta >= 0, got eps={eps}, delta={delta}"
        )


def require_positive(points: Floats, region: Region | None = None) -> None:
    """Check that the best value is above 0 everywhere, as a multiplicative gap needs.

    Args:
        points: candidates, shape (n, d).
        region: the weights that count; None is the whole simplex.

    Raises:
        UndefinedGapError: it is not.
    """
    if _at_least(points) <= POSITIVE and minimum_of_envelope(points, region)[0] <= POSITIVE:
        raise UndefinedGapError(
            "a multiplicative gap needs a best value above 0 everywhere; minimise the additive one"
        )


def require_target(
    candidates: Floats, eps: float, delta: float, region: Region | None = None
) -> None:
    """Check that a tolerance is a meaningful target for these candidates.

    Args:
        candidates: shape (n, d).
        eps: multiplicative tolerance, in [0, 1).
        delta: additive tolerance, at least 0.
        region: the weights that count; None is the whole simplex.

    Raises:
        UndefinedGapError: it is not.
    """
    check_tolerance(eps, delta)
    if eps > 0 and _at_least(candidates) < 0:
        lowest, _ = minimum_of_envelope(candidates, region)
        if lowest < -1e-12:
            raise UndefinedGapError(
                f"eps = {eps} needs a best value that is nowhere negative, but it falls to"
                f" {lowest:.3g}; use eps = 0"
            )


def _at_least(points: Floats) -> float:
    """A number that the best value is nowhere below, without a linear program.

    The best policy's worst trait.
    """
    return float(points.min(axis=1).max())


def minimum_of_envelope(points: ArrayLike, region: Region | None = None) -> tuple[float, Floats]:
    """The minimum over weights of the best value, by one linear program.

    Args:
        points: policies, shape (n, d).
        region: the weights that count; None is the whole simplex.

    Returns:
        The minimum, and weights (d,) where it is reached.

    Raises:
        UndefinedGapError: the program could not be solved.
    """
    from scipy.optimize import linprog

    u = as_points(points)
    n, d = u.shape
    least, most = (np.zeros(d), np.ones(d)) if region is None else (region.lower, region.upper)
    solved = linprog(
        np.r_[np.zeros(d), 1.0],
        A_ub=np.hstack([u, -np.ones((n, 1))]),
        b_ub=np.zeros(n),
        A_eq=np.r_[np.ones(d), 0.0][None],
        b_eq=[1.0],
        bounds=[*zip(least, most, strict=True), (None, None)],
        method="highs",
    )
    if solved.fun is None or solved.x is None:
        raise UndefinedGapError(f"the minimum of the best value was not found: {solved.message}")
    return float(solved.fun), np.asarray(solved.x[:d])
