"""What a portfolio is good for, in one sentence from its numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from palm_engine._types import Floats
from palm_engine.analysis.limits import options_of_limits
from palm_engine.bundle.folder import Bundle
from palm_engine.geometry.envelope import upper_envelope
from palm_engine.geometry.fields import is_within, users_of
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.region import Region

# A single model that loses at most this much more than the portfolio is nearly as good.
NEARLY = 0.01


@dataclass(frozen=True)
class Story:
    """A portfolio beside the best single model; losses are exact worst gaps (scope: candidates).

    Attributes:
        members: how many.
        loss: the portfolio's worst gap.
        single: row of the best single candidate.
        single_loss: its worst gap.
        multiplicative: whether losses are shares of the best value; else they are additive.
        expected: what uniform users lose on average, likewise (scope: sampled).
    """

    members: int
    loss: float
    single: int
    single_loss: float
    multiplicative: bool
    expected: float

    def in_words(self, unit: str, where: str = "") -> str:
        """The sentence; additive losses are counted in `unit`.

        `where` says which preferences count, as in " with safety at least 0.2".
        """
        loss = loss_text(self.loss, self.multiplicative, unit)
        average = f"{loss_text(self.expected, self.multiplicative, unit)} on average"
        if self.members == 1:
            return f"This one model loses up to {loss} for some preferences{where}, {average}."
        together = f"These {self.members} together lose at most {loss}"
        alone = loss_text(self.single_loss, self.multiplicative, unit)
        single = f"the best single one loses up to {alone}"
        if self.single_loss < self.loss:
            words = "one model does better here"
            return f"{together} for any preference{where}, {average}; {single}: {words}."
        if self.single_loss - self.loss <= NEARLY:
            words = "one is nearly enough here"
            return f"{together} for any preference{where}, {average}, but {single}: {words}."
        sentence = f"{together} for any preference{where}, {average}; {single}."
        return f"One model can't suit everyone. {sentence}"


def loss_text(loss: float, multiplicative: bool, unit: str) -> str:
    """A loss for people, the same wherever it is said: a share in percent, else in `unit`."""
    if not multiplicative:
        return f"{loss:.3f} {unit}"
    return "less than 0.1 %" if 0 < loss < 0.001 else f"{100 * loss:.1f} %"


def best_single(points: Floats, region: Region | None = None, barred: Collection[int] = ()) -> int:
    """Row of the best single candidate: of smallest worst gap, additive.

    Args:
        points: candidates, shape (n, d).
        region: the weights that count; None: all.
        barred: rows that may not be members.
    """
    corners = np.eye(points.shape[1]) if region is None else region.corners()
    values = points @ corners.T
    # A single candidate's gap is convex in the weights, so it is largest at a corner.
    gaps = (values.max(axis=0) - values).max(axis=1)
    if len(barred) < len(points):
        gaps[list(barred)] = np.inf
    return int(gaps.argmin())


def single_of(bundle: Bundle) -> int:
    """Row of the best single candidate of a bundle, the same wherever it is named.

    It is the one that its certificate names, chosen on the prompts that members were chosen on;
    without a certificate the best on the rewards as they are, of those that may be members.
    """
    certificate = bundle.manifest.certificate
    if certificate is not None:
        return bundle.row(certificate.single_best)
    options = options_of_limits(bundle.limits, bundle.rewards, bundle.traits, bundle.row)
    return best_single(bundle.points, bundle.region, options.exclude)


def story_of(bundle: Bundle, portfolio: Sequence[int]) -> Story:
    """Compare a portfolio of a bundle with its best single candidate.

    Args:
        bundle: that holds the candidates.
        portfolio: rows of the members.
    """
    return story(bundle.points, portfolio, bundle.region, single_of(bundle))


def story(
    points: Floats,
    portfolio: Sequence[int],
    region: Region | None = None,
    single: int | None = None,
) -> Story:
    """Compare a portfolio with the best single candidate.

    Args:
        points: candidates, shape (n, d).
        portfolio: rows of the members.
        region: the weights that count; None: all.
        single: row of the best single candidate; the one of least worst gap if not given.
    """
    ours = worst_gap(points[list(portfolio)], points, region)
    single = best_single(points, region) if single is None else single
    alone = worst_gap(points[[single]], points, region)
    if ours.multiplicative is None or alone.multiplicative is None:
        average = expected_gap(points, portfolio, region)
        return Story(len(portfolio), ours.additive, single, alone.additive, False, average)
    best = upper_envelope(points, users_of(points.shape[1], region))
    lost = float((uniform_gaps(points, portfolio, region) / best).mean())
    return Story(len(portfolio), ours.multiplicative, single, alone.multiplicative, True, lost)


def expected_gap(points: Floats, portfolio: Sequence[int], region: Region | None = None) -> float:
    """Mean additive gap of uniform users (scope: sampled), the same wherever it is said.

    Args:
        points: candidates, shape (n, d).
        portfolio: rows of the members.
        region: the weights that count; None: all.
    """
    return float(uniform_gaps(points, portfolio, region).mean())


def expected_gaps(
    points: Floats, portfolios: Sequence[Sequence[int]], region: Region | None = None
) -> list[float]:
    """`expected_gap` of several portfolios; what the candidates give is worked out once.

    Args:
        points: candidates, shape (n, d).
        portfolios: rows of the members of each.
        region: the weights that count; None: all.
    """
    users = users_of(points.shape[1], region)
    best = upper_envelope(points, users)
    ours = (upper_envelope(points[list(rows)], users) for rows in portfolios)
    return [float(np.maximum(best - given, 0.0).mean()) for given in ours]


def within(gaps: Floats, tolerance: float) -> float:
    """The share of users who lose at most a tolerance, the same wherever it is said.

    Args:
        gaps: of each user, shape (m,).
        tolerance: likewise additive or multiplicative.
    """
    return float(is_within(gaps, tolerance).mean())


def uniform_gaps(points: Floats, portfolio: Sequence[int], region: Region | None = None) -> Floats:
    """Additive gap of each of 20,000 uniform users, shape (m,)."""
    users = users_of(points.shape[1], region)
    ours = upper_envelope(points[list(portfolio)], users)
    return np.asarray(np.maximum(upper_envelope(points, users) - ours, 0.0))
