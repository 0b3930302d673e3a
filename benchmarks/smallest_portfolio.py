"""Claim: the smallest portfolio among 1,000 points of a sphere is proved within seconds."""

from __future__ import annotations

import time
from unittest.mock import patch

from benchmarks.common import Row, sphere
from palm_engine._types import Booleans
from palm_engine.selection import minimum as module
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.parts.cover import Cover
from palm_engine.selection.parts.cuts import Cuts
from palm_engine.selection.result import Target

LIMIT = 30.0


def without_carry(cuts: Cuts, covers: Booleans, **how: int | float | None) -> Cover:
    """Every cover from scratch: no bound that an earlier round proved is carried in."""
    return SMALLEST(cuts, covers, **{**how, "at_least": 1})


SMALLEST = Cuts.smallest


def smallest() -> Row:
    """The smallest (.05, .01)-portfolio, beside the same without carrying the proved lower bound
    into a round.
    """
    target = Target(eps=0.05, delta=0.01)
    ours = []
    plain = []
    proved = 0
    for seed in range(4):
        points = sphere(1000, 3, seed)
        started = time.perf_counter()
        proved += minimum(points, target).proved
        ours.append(time.perf_counter() - started)
        with patch.object(module, "TIGHTER", ()), patch.object(Cuts, "smallest", without_carry):
            started = time.perf_counter()
            minimum(points, target, Options(time_limit=LIMIT))
            plain.append(time.perf_counter() - started)
    return (
        "smallest portfolio for (.05, .01), 1,000 sphere points, d=3, four seeds (goal 3 s)",
        f"{', '.join(f'{s:.1f}' for s in ours)} s, {proved} of 4 proved optimal",
        (
            f"the same without lower-bound carry: {', '.join(f'{s:.1f}' for s in plain)} s (limit"
            f" {LIMIT:.0f} s)"
        ),
    )


def rows() -> list[Row]:
    """The claim: (what, result, reference)."""
    return [smallest()]
