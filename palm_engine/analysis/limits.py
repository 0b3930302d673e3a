"""Limits of a bundle or table, as the methods of selection take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from palm_engine._types import Floats
from palm_engine.bundle.limits import Limits
from palm_engine.geometry.region import Region
from palm_engine.selection.options import Options, below_floors


def options_of_limits(
    limits: Limits, rewards: Floats, traits: Sequence[str], row: Callable[[str], int]
) -> Options:
    """Region, required and ruled out rows.

    Args:
        limits: by names.
        rewards: of the candidates, shape (n, d).
        traits: names of the d traits.
        row: of a candidate, by its name.

    Raises:
        InvalidInputError: an unknown name, or bounds that leave no room.
    """
    barred = {*below_floors(rewards, limits.floors, traits), *map(row, limits.ruled_out)}
    return Options(
        Region.from_bounds(limits.where, traits) if limits.where else None,
        tuple(map(row, limits.required)),
        tuple(sorted(barred)),
    )
