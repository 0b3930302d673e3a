"""The oracle's interface: given weights, a (near-)optimal policy.

A table row, a closed form or a training run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from palm_engine._types import Floats


@dataclass(frozen=True)
class Answers:
    """What an oracle found at m weights.

    Attributes:
        points: u = v - c, shape (m, d).
        optimum: the value w·u reached there, (m,).
        rows: rows of the policies where the oracle is a table, (m,), else None.
    """

    points: Floats
    optimum: Floats
    rows: NDArray[np.intp] | None = None


class Oracle(Protocol):
    """Any source of near-optimal policies.

    `tolerance` (eta >= 0) bounds how far `optimum` can be below the true best value at those
    weights: an upper bound on the shortfall, not its mean. `floor` is a number that no coordinate
    of any policy's point is below.
    """

    @property
    def d(self) -> int:
        """Number of traits."""
        ...

    @property
    def tolerance(self) -> float:
        """Largest possible shortfall."""
        ...

    @property
    def floor(self) -> float:
        """Lower bound on every coordinate of every point."""
        ...

    def answer(self, weights: Floats) -> Answers:
        """Policies for given weights.

        Args:
            weights: shape (m, d), rows summing to 1.
        """
        ...
