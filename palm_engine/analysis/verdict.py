"""How many members are enough: every size with its figures, and the fewest that keep a loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palm_engine._types import Floats
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.story import loss_text, uniform_gaps, within
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.region import Region


@dataclass(frozen=True)
class SizeRow:
    """The best portfolio of one size.

    Attributes:
        size: how many members.
        members: their names.
        worst: its worst gap where it is measured, additive.
        upper: the confidence bound on it, for all sizes at once, or None.
        expected: mean gap of uniform users (scope: sampled).
        covered: share of uniform users whose gap is at most the tolerance (scope: sampled).
    """

    size: int
    members: tuple[str, ...]
    worst: float
    upper: float | None
    expected: float
    covered: float

    @property
    def promised(self) -> float:
        """The worst gap that can be promised: the bound, where there is one."""
        return self.worst if self.upper is None else self.upper


@dataclass(frozen=True)
class Verdict:
    """The fewest members whose promised worst gap is within a tolerance.

    Attributes:
        tolerance: additive.
        rows: every size.
        enough: the row of the fewest that are enough; None if no size is.
        confidence: of the bounds, or None without them.
        share: multiplicative worst gap of those that are enough, where it is measured; None where
            there is none.
    """

    tolerance: float
    rows: tuple[SizeRow, ...]
    enough: SizeRow | None
    confidence: float | None
    share: float | None = None

    def in_words(self, where: str = "", unit: str = "reward units") -> str:
        """The verdict in one or two sentences.

        Args:
            where: which users count, as in " with safety at least 0.2".
            unit: what gaps are counted in.
        """
        tolerated = loss_text(self.tolerance, False, unit)
        sure = "" if self.confidence is None else f", with {self.confidence:.0%} confidence"
        if self.enough is None:
            best = min(self.rows, key=lambda r: r.promised)
            return (
                f"No size up to {self.rows[-1].size} is enough for a loss of at most"
                f" {tolerated}{sure}: the best, with {best.size}, promises"
                f" {math.ceil(1e4 * best.promised - 1e-9) / 1e4:.4f}."
            )
        count = self.enough.size
        who = "One model is" if count == 1 else f"{count} members are"
        sentence = (
            f"{who} enough for a loss of at most {tolerated}, whatever the user{where}{sure}."
        )
        if self.share is None:
            return sentence
        share = loss_text(self.share, True, unit)
        return f"{sentence} As measured, that is up to {share} of what the best would give."


def verdict(
    info: CurveInfo,
    names: Sequence[str],
    points: Floats,
    tolerance: float,
    region: Region | None = None,
) -> Verdict:
    """The fewest members that are enough.

    Args:
        info: the best portfolio of every size.
        names: of the candidates.
        points: candidates, shape (n, d).
        tolerance: the largest loss that is tolerated, additive.
        region: the weights that count; None: all.
    """
    row_of = {name: row for row, name in enumerate(names)}
    rows = []
    for i, size in enumerate(info.sizes):
        gaps = uniform_gaps(points, [row_of[m] for m in info.members[i]], region)
        rows.append(
            SizeRow(
                size=size,
                members=info.members[i],
                worst=info.measured[i],
                upper=None if info.upper is None else info.upper[i],
                expected=float(gaps.mean()),
                covered=within(gaps, tolerance),
            )
        )
    enough = next((r for r in rows if r.promised <= tolerance), None)
    confidence = None if info.upper is None else info.confidence
    share = None
    if enough is not None:
        chosen = points[[row_of[m] for m in enough.members]]
        share = worst_gap(chosen, points, region).multiplicative
    return Verdict(tolerance, tuple(rows), enough, confidence, share)


@dataclass(frozen=True)
class ShareVerdict:
    """The fewest members whose promised multiplicative gap is within a tolerance.

    Attributes:
        tolerance: as a share of what the best would give.
        size: the fewest that are enough; None if no size is.
        best: the size that promises most, and what it promises.
        confidence: of the promises, or None without bounds.
    """

    tolerance: float
    size: int | None
    best: tuple[int, float]
    confidence: float | None

    def in_words(self, where: str = "") -> str:
        """The verdict in a sentence.

        Args:
            where: which users count, as in " with safety at least 0.2".
        """
        sure = "" if self.confidence is None else f", with {self.confidence:.0%} confidence"
        tolerated = f"{loss_text(self.tolerance, True, '')} of what the best would give"
        if self.size is None:
            promised = math.ceil(1000 * self.best[1] - 1e-9) / 10
            return (
                f"No size is enough for a loss of at most {tolerated}{sure}: the best, with"
                f" {self.best[0]}, promises {promised:.1f} %."
            )
        who = "One model is" if self.size == 1 else f"{self.size} members are"
        return f"{who} enough for a loss of at most {tolerated}, whatever the user{where}{sure}."


def share_verdict(info: CurveInfo, tolerance: float) -> ShareVerdict:
    """The fewest members that are enough, in percent.

    Args:
        info: the portfolio of every size of the least multiplicative worst gap; its figures are
            multiplicative.
        tolerance: the largest loss that is tolerated, as a share.
    """
    promised = info.upper or info.measured
    best = min(zip(promised, info.sizes, strict=True))
    size = next((k for k, p in zip(info.sizes, promised, strict=True) if p <= tolerance), None)
    confidence = None if info.upper is None else info.confidence
    return ShareVerdict(tolerance, size, (best[1], best[0]), confidence)


def tolerances(info: CurveInfo) -> tuple[float, float]:
    """A tolerance to begin with, and the largest worth asking for: round numbers.

    The first is what the best size can promise, rounded up.
    """
    return tolerances_for(info.upper or info.measured)


def tolerances_for(promised: Sequence[float]) -> tuple[float, float]:
    """The same from what single portfolios promise, at least one.

    Args:
        promised: additive worst gaps, or bounds on them.
    """
    step = 0.005 if max(promised) > 0.02 else 0.001
    most = step * np.ceil(1.1 * max(promised) / step + 1e-9)
    first = max(step * np.ceil(min(promised) / step + 1e-9), step)
    return float(round(min(first, most), 6)), float(round(most, 6))
