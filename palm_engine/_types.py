"""Types that every room shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
# Called with the share that is done, 0 to 1, and what is being done.
Progress = Callable[[float, str], None]
# Called with a sentence to show.
Notice = Callable[[str], None]
# What a gap is measured against: how far a statement holds.
Scope = Literal["certified", "pool", "candidates", "sampled"]


def no_progress(share: float, note: str) -> None:
    """Ignore progress."""
