"""What a portfolio is good for, in one sentence from its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palm_engine._types import Floats
from palm_engine.bundle.folder import Bundle
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
    """

    members: int
    loss: float
    single: int
    single_loss: float
    multiplicative: bool

    def in_words(self, unit: str, where: str = "") -> str:
        """The sentence; additive losses are counted in `unit`.

        `where` says which preferences count, as in " with safety at least 0.2".
        """
        loss = loss_text(self.loss, self.multiplicative, unit)
        if self.members == 1:
            return f"This one model loses up to {loss} for some preferences{where}."
        together = f"These {self.members} together lose at most {loss}"
        alone = loss_text(self.single_loss, self.multiplicative, unit)
        single = f"the best single one loses up to {alone}"
        if self.single_loss < self.loss:
            return f"{together} for any preference{where}; {single}: one model does better here."
        if self.single_loss - self.loss <= NEARLY:
            return f"{together} for any preference{where}, but {single}: one is nearly enough here."
        return f"One model can't suit everyone. {together} for any preference{where}; {single}."


def loss_text(loss: float, multiplicative: bool, unit: str) -> str:
    """A loss for people, the same wherever it is said: a share in percent, else in `unit`."""
    if not multiplicative:
        return f"{loss:.3f} {unit}"
    return "less than 0.1 %" if 0 < loss < 0.001 else f"{100 * loss:.1f} %"


def best_single(bundle: Bundle) -> int:
    """Row of the best single candidate: of smallest additive worst gap.

    The certificate's, chosen on other prompts than it is measured on, where there is one.
    """
    certificate = bundle.manifest.certificate
    if certificate is not None:
        return bundle.row(certificate.single_best)
    points = bundle.points
    corners = np.eye(points.shape[1]) if bundle.region is None else bundle.region.corners()
    values = points @ corners.T
    # A single candidate's gap is convex in the weights, so it is largest at a corner.
    return int((values.max(axis=0) - values).max(axis=1).argmin())


def story(
    points: Floats, portfolio: Sequence[int], single: int, region: Region | None = None
) -> Story:
    """Compare a portfolio with a single candidate.

    Args:
        points: candidates, shape (n, d).
        portfolio: rows of the members.
        single: row of the single candidate.
        region: the weights that count; None: all.
    """
    ours = worst_gap(points[list(portfolio)], points, region)
    alone = worst_gap(points[[single]], points, region)
    if ours.multiplicative is None or alone.multiplicative is None:
        return Story(len(portfolio), ours.additive, single, alone.additive, False)
    return Story(len(portfolio), ours.multiplicative, single, alone.multiplicative, True)
