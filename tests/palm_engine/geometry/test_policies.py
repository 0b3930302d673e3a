"""Policies as points: numbers out of range are refused by row and column."""

from __future__ import annotations

import pytest

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.policies import policy_points


def test_values_out_of_range_are_refused_by_row_and_column() -> None:
    with pytest.raises(InvalidInputError, match="row 1, column 0"):
        policy_points([[0.1, 0.2], [1.2, 0.3]])
    with pytest.raises(InvalidInputError, match="row 0, column 1"):
        policy_points([[0.1, float("nan")]])
