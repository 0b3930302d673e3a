"""Numbers behind the pages: methods compared, plans, losses, costs, users, against slow or
independent references.
"""

from __future__ import annotations

import pytest

from palm_engine.analysis.curves import best_of_every_size
from palm_engine.selection.minimum import size_curve
from tests.support.bundles import sphere


def test_the_best_of_every_size_is_the_size_curve() -> None:
    points = sphere(9, 3, 6)
    names = tuple(f"p{i}" for i in range(9))
    info = best_of_every_size(points, names, 9)
    expected = size_curve(points, 9)
    assert info.sizes == tuple(len(s.members) for s in expected)
    assert info.choose == pytest.approx([s.gap.additive for s in expected], abs=2e-6)
    assert info.proved
