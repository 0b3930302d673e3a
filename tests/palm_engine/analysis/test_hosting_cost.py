"""Costs of training and hosting add up."""

from __future__ import annotations

import pytest

from palm_engine.analysis.hosting_cost import Assumptions, cost_of
from palm_engine.errors import InvalidInputError


def test_costs_add_up() -> None:
    assumed = Assumptions(base_gb=2, adapter_mb=512, train_hours=3, price_per_hour=4)
    cost = cost_of(4, assumed)
    assert (cost.memory_gb, cost.train_hours, cost.price) == (4, 12, 48)
    with pytest.raises(InvalidInputError, match="train_hours"):
        Assumptions(1, 1, -1, 1)
