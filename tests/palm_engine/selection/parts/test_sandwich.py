"""The certificate from few oracle calls is never below the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_gap
from palm_engine.selection.methods import METHODS
from palm_engine.selection.options import Options
from palm_engine.selection.result import Target
from tests.support.bundles import NoisyTable, sphere


@pytest.mark.parametrize("budget", [1, 2, 3, 4, 5])
def test_small_budgets_are_kept_and_certified(budget: int) -> None:
    points = sphere(30, 4, 0)
    found = METHODS["adaptive"].select(points, Target(k=2), Options(budget=budget))
    assert found.oracle_calls == budget
    assert found.gap.additive >= worst_gap(found.points, points).additive - 1e-9
    if budget <= 4:
        with pytest.raises(InvalidInputError, match="at least 5 oracle calls"):
            METHODS["placement"].select(points, Target(k=2), Options(budget=budget))
    else:
        assert (
            METHODS["placement"].select(points, Target(k=2), Options(budget=budget)).oracle_calls
            == budget
        )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3]), st.floats(0, 0.05))
def test_the_certificate_is_never_below_the_truth_even_with_a_noisy_oracle(
    seed: int, d: int, eta: float
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.random((60, d))
    found = METHODS["adaptive"].select(
        NoisyTable(points, eta, rng), Target(delta=0.02), Options(budget=25)
    )
    assert found.gap.additive >= worst_gap(found.points, points).additive - 1e-9
