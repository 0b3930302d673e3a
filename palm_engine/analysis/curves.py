"""Size against worst gap, from a reward table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from palm_engine._types import Progress, no_progress
from palm_engine.selection.minimum import size_curve
from palm_engine.selection.options import Options


@dataclass(frozen=True)
class CurveInfo:
    """Size against worst gap.

    Attributes:
        sizes: numbers of members.
        members: names of the members, by size.
        choose: worst gap where the sizes were chosen.
        certify: worst gap on the certify prompts, or None.
        upper: its bound, for all sizes at once, or None.
        confidence: of the bound, or None.
        proved: whether every size is proved the best.
    """

    sizes: tuple[int, ...]
    members: tuple[tuple[str, ...], ...]
    choose: tuple[float, ...]
    certify: tuple[float, ...] | None
    upper: tuple[float, ...] | None
    confidence: float | None
    proved: bool

    @property
    def measured(self) -> tuple[float, ...]:
        """Worst gap by size: on the certify prompts, where there are some."""
        return self.certify or self.choose


def best_of_every_size(
    points: ArrayLike,
    names: Sequence[str],
    most: int = 8,
    seconds: float = 10.0,
    report: Progress = no_progress,
    limits: Options | None = None,
) -> CurveInfo:
    """The exact best portfolio of every size up to `most`.

    Args:
        points: candidates, shape (n, d).
        names: their n names.
        most: the largest size; the curve ends earlier at a size whose worst gap is 0.
        seconds: time limit for each size.
        report: gets the share done and what is being done.
        limits: the weights that count, and who may and must be a member.
    """
    options = replace(limits or Options(), time_limit=seconds)
    curve = size_curve(points, most, options, report=report)
    return CurveInfo(
        sizes=tuple(len(s.members) for s in curve),
        members=tuple(tuple(names[m] for m in s.members) for s in curve),
        choose=tuple(s.gap.additive for s in curve),
        certify=None,
        upper=None,
        confidence=None,
        proved=all(s.proved for s in curve),
    )
