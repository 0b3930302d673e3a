"""Subsets that know nothing of users: the largest hypervolume, and the medoids.

The largest hypervolume (after HaM, arXiv 2412.05469) is built by adding the policy that adds most,
at least 1 - 1/e of the best (Nemhauser, Wolsey and Fisher 1978, doi:10.1007/BF01588971); volumes by
moocore, the optional extra `compare`. The medoids are the policies nearest to all others (Kaufman
and Rousseeuw 1990, doi:10.1002/9780470316801). Rivals of what is chosen for users, at equal size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.errors import DependencyError, InfeasibleError
from palm_engine.geometry.gap import require_target
from palm_engine.oracles.interface import Oracle
from palm_engine.oracles.table import as_table
from palm_engine.selection.options import DEFAULT, Options
from palm_engine.selection.parts.cuts import TOLERANCE, Cuts
from palm_engine.selection.parts.median import k_median
from palm_engine.selection.result import Selection, Target

# Distances from at most so many policies are looked at.
MOST_COMPARED = 2_000
# Columns of growing portfolios, from the required ones (or one) upwards.
Growing = Callable[[Cuts, int], Iterator[list[int]]]


def hypervolume(
    candidates: ArrayLike | Oracle, target: Target, options: Options = DEFAULT
) -> Selection:
    """The policies whose points dominate most volume above the table's smallest values.

    Args:
        candidates: points (n, d), or a table oracle.
        target: an additive one.
        options: guardrails; the region counts for the gap only.

    Raises:
        DependencyError: moocore isn't installed.
        InfeasibleError: the tolerance isn't met by all eligible candidates together.
        InvalidInputError: options that make no sense here.
    """
    return _subset("hypervolume", candidates, target, options, _by_volume)


def medoids(
    candidates: ArrayLike | Oracle, target: Target, options: Options = DEFAULT
) -> Selection:
    """The policies with the least mean Euclidean distance of every policy to the nearest of them.

    Args:
        candidates: points (n, d), or a table oracle.
        target: an additive one.
        options: guardrails; the region counts for the gap only.

    Raises:
        InfeasibleError: the tolerance isn't met by all eligible candidates together.
        InvalidInputError: options that make no sense here.
    """
    return _subset("medoids", candidates, target, options, _by_distance)


def volume_of(points: Floats, reference: Floats) -> float:
    """The volume that points dominate above a reference point.

    Args:
        points: shape (k, d).
        reference: shape (d,).

    Raises:
        DependencyError: moocore isn't installed.
    """
    try:
        from moocore import hypervolume as measured
    except ImportError as error:
        raise DependencyError(
            "hypervolumes need the extra 'compare': pip install -e '.[compare]'"
        ) from error
    above = points[(points > reference).all(axis=1)]
    return float(measured(above, reference, maximise=True)) if len(above) else 0.0


def _subset(
    name: str,
    candidates: ArrayLike | Oracle,
    target: Target,
    options: Options,
    grow: Growing,
) -> Selection:
    target.require_additive(name)
    q = as_table(candidates)
    started = time.perf_counter()
    options.check(len(q), q.shape[1], target)
    if target.k is None:
        require_target(q, target.eps, target.delta, options.region)
    cuts = Cuts(q, options)
    most = min(target.k or len(cuts.rows), len(cuts.rows))
    columns: list[int] = []
    stopped = "done"
    for columns in grow(cuts, most):
        if target.k is None and _meets(cuts, columns, target):
            stopped = "target met"
            break
        if options.late(started):
            stopped = "time limit"
            break
    if target.k is None and stopped == "done":
        raise InfeasibleError(
            f"{name}: no portfolio of the eligible candidates meets eps {target.eps:g}, delta"
            f" {target.delta:g}; loosen them"
        )
    return cuts.selection(name, columns, seconds=time.perf_counter() - started, stopped=stopped)


def _meets(cuts: Cuts, columns: list[int], target: Target) -> bool:
    _, violation = cuts.gaps(columns, target.eps, target.delta)
    return bool(violation.max() <= 10 * TOLERANCE)


def _by_volume(cuts: Cuts, most: int) -> Iterator[list[int]]:
    points = cuts.points
    floor = points.min(axis=0)
    # A little below, so that what is smallest in one trait still dominates some volume.
    reference = floor - 1e-3 * np.maximum(points.max(axis=0) - floor, 1e-9)
    chosen = list(cuts.require)
    if chosen:
        yield chosen
    while len(chosen) < most:
        rest = [c for c in range(len(points)) if c not in chosen]
        volumes = [volume_of(points[[*chosen, c]], reference) for c in rest]
        chosen = [*chosen, rest[int(np.argmax(volumes))]]
        yield chosen


def _by_distance(cuts: Cuts, most: int) -> Iterator[list[int]]:
    points = cuts.points
    rows = np.arange(len(points))
    if len(rows) > MOST_COMPARED:
        rows = np.sort(np.random.default_rng(0).choice(len(rows), MOST_COMPARED, replace=False))
    distances = np.linalg.norm(points[rows][:, None] - points[None], axis=2)
    shares = np.full(len(rows), 1 / len(rows))
    fixed = tuple(cuts.require)
    for k in range(max(len(fixed), 1), most + 1):
        yield list(k_median(distances, shares, k, fixed).columns)
