"""How many members to take from a table: until one more buys too little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palm_engine._types import Floats, Progress, no_progress
from palm_engine.analysis.curves import CurveInfo, best_of_every_size
from palm_engine.analysis.verdict import SizeRow, verdict
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.confidence import simultaneous_bounds
from palm_engine.geometry.gap import worst_additive_gap
from palm_engine.tables.reward_table import RewardTable

# With as many prompts, portfolios are chosen on one half and measured on the other.
FEWEST_PROMPTS = 20


@dataclass(frozen=True)
class Recommendation:
    """The smallest size after which one more member lowers the worst gap by less than `worth`.

    Attributes:
        worth: additive.
        rows: every size looked at.
        chosen: the row of the recommended size.
        next: the row of one more member; None where no larger size was looked at.
        confidence: of the bounds, valid for all sizes at once; None without prompts.
        prompts: how many the gaps were measured on; 0 without.
        proved: whether every size is the best of its size.
    """

    worth: float
    rows: tuple[SizeRow, ...]
    chosen: SizeRow
    next: SizeRow | None
    confidence: float | None
    prompts: int
    proved: bool

    def in_words(self) -> list[str]:
        """The recommendation, what one more would buy, and what both rest on."""
        row = self.chosen
        count = "One member is" if row.size == 1 else f"{row.size} members are"
        first = (
            f"{count} enough: the worst user loses {row.worst:.4f}, a uniform user"
            f" {row.expected:.4f} on average."
        )
        if row.upper is not None:
            first = (
                f"{first[:-1]}; at most {row.upper:.4f} with {self.confidence:.0%} confidence, for"
                " all sizes at once."
            )
        lines = [first]
        if self.next is not None:
            more = self.next
            lines.append(
                f"One more would lower the worst loss by {max(row.worst - more.worst, 0):.4f}, less"
                f" than the {self.worth:g} that it has to be worth, and the average loss by"
                f" {max(row.expected - more.expected, 0):.4f}."
            )
        if self.prompts:
            lines.append(
                f"Chosen on one half of the prompts, measured on the other {self.prompts}."
            )
        if not self.proved:
            lines.append(
                "Not every size was proved best in the time; a longer limit may find more."
            )
        return lines


def recommend(
    table: RewardTable,
    worth: float,
    most: int = 12,
    seconds: float = 5.0,
    seed: int = 0,
    report: Progress = no_progress,
) -> Recommendation:
    """How many members of a table are worth having.

    Args:
        table: the rewards; with FEWEST_PROMPTS prompts the gaps are bounded.
        worth: what one more member has to lower the worst gap by, above 0, additive.
        most: the largest size that is looked at.
        seconds: time limit for each size.
        seed: of the split of prompts and the resampling.
        report: gets the share done and what is being done.

    Raises:
        InvalidInputError: `worth` isn't above 0.
    """
    if not 0 < worth < float("inf"):
        raise InvalidInputError(f"what one more member has to be worth is above 0, got {worth:g}")
    scores = table.scores
    if scores is None or len(scores) < FEWEST_PROMPTS:
        points = table.points
        info = best_of_every_size(points, table.policies, most, seconds, report)
        prompts = 0
    else:
        info, points, prompts = _on_two_halves(table, scores, most, seconds, seed, report)
    rows = verdict(info, table.policies, points, worth).rows
    at = next(
        (i for i in range(len(rows) - 1) if rows[i].worst - rows[i + 1].worst < worth),
        len(rows) - 1,
    )
    after = rows[at + 1] if at + 1 < len(rows) else None
    return Recommendation(worth, rows, rows[at], after, info.confidence, prompts, info.proved)


def _on_two_halves(
    table: RewardTable, scores: Floats, most: int, seconds: float, seed: int, report: Progress
) -> tuple[CurveInfo, Floats, int]:
    """The curve chosen on one half of the prompts, its gaps on the other with bounds.

    Also the points (n, d) on that other half, and how many prompts it has.
    """
    clusters = table.clusters
    choose, measure = halves(len(scores), clusters, np.random.default_rng(seed))
    chosen = scores[choose].mean(axis=0)
    info = best_of_every_size(
        chosen, table.policies, most, seconds, lambda share, note: report(share / 2, note)
    )
    row_of = {name: row for row, name in enumerate(table.policies)}
    portfolios = [[row_of[m] for m in members] for members in info.members]
    points = scores[measure].mean(axis=0)
    bounds = simultaneous_bounds(
        scores[measure],
        portfolios,
        seed=seed,
        clusters=None if clusters is None else [clusters[i] for i in measure],
        span=table.span,
        report=lambda share: report(0.5 + share / 2, "Bounding the gap by resampling prompts"),
    )
    measured = CurveInfo(
        sizes=info.sizes,
        members=info.members,
        choose=info.choose,
        certify=tuple(worst_additive_gap(points[p], points) for p in portfolios),
        upper=tuple(b.upper for b in bounds),
        confidence=bounds[0].confidence,
        proved=info.proved,
    )
    return measured, points, len(measure)


def halves(
    count: int, clusters: Sequence[str] | None, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Prompts in two random halves: to choose on, and to measure on.

    Args:
        count: of prompts.
        clusters: of each; those of a cluster stay together. None: each is one of its own.
        rng: draws them.

    Raises:
        InvalidInputError: one cluster holds more than half of the prompts.
    """
    names = list(range(count)) if clusters is None else list(clusters)
    places: dict[object, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    groups = list(places.values())
    first: list[int] = []
    second: list[int] = []
    for i in rng.permutation(len(groups)):
        # The smaller half first, so that odd counts leave one more to measure on.
        half = first if len(first) + len(groups[i]) <= count // 2 else second
        half += groups[i]
    if not first or not second:
        raise InvalidInputError(
            f"the prompts are of {len(groups)} cluster(s), of which one is too large: a bound"
            " needs prompts to choose on and others to measure on"
        )
    return sorted(first), sorted(second)
