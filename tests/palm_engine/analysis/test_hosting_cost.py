"""Costs of training and serving add up."""

from __future__ import annotations

import pytest

from palm_engine.analysis.hosting_cost import HOURS_PER_MONTH, Assumptions, serving, training
from palm_engine.errors import InvalidInputError


def test_serving_is_paid_by_the_gpu_and_training_by_the_adapter() -> None:
    assumed = Assumptions(base_gb=2, adapter_mb=500, train_hours=3, price_per_hour=4, gpu_gb=4)
    four = serving(4, assumed)
    assert (four.memory_gb, four.gpus, four.per_month) == (4, 1, 4 * HOURS_PER_MONTH)
    five = serving(5, assumed)
    assert (five.gpus, five.per_month) == (2, 8 * HOURS_PER_MONTH)
    once = training(22, assumed)
    assert (once.hours, once.price) == (66, 264)


def test_assumptions_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="train_hours"):
        Assumptions(1, 1, -1, 1)
    with pytest.raises(InvalidInputError, match="gpu_gb"):
        Assumptions(1, 1, 1, 1, 0)
