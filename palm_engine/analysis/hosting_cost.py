"""What a portfolio costs to train and to serve, from assumptions that the user gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from palm_engine.errors import InvalidInputError

HOURS_PER_MONTH = 730.0


@dataclass(frozen=True)
class Assumptions:
    """What a user assumes.

    Attributes:
        base_gb: GPU memory of the base and its cache, in GB.
        adapter_mb: of one adapter, in MB.
        train_hours: GPU hours to train one adapter.
        price_per_hour: price of a GPU hour.
        gpu_gb: memory of one GPU, in GB; above 0.
    """

    base_gb: float
    adapter_mb: float
    train_hours: float
    price_per_hour: float
    gpu_gb: float = 24.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise InvalidInputError(f"{name} must be 0 or more, got {value}")
        if self.gpu_gb == 0:
            raise InvalidInputError("gpu_gb must be above 0")


@dataclass(frozen=True)
class Serving:
    """What serving a portfolio takes, all members beside one shared base.

    Attributes:
        memory_gb: GPU memory, in GB.
        gpus: how many GPUs hold it.
        per_month: price of a month, day and night.
    """

    memory_gb: float
    gpus: int
    per_month: float


@dataclass(frozen=True)
class Training:
    """What training adapters takes, once.

    Attributes:
        adapters: how many.
        hours: GPU hours.
        price: of these.
    """

    adapters: int
    hours: float
    price: float


def serving(adapters: int, assumed: Assumptions) -> Serving:
    """Serving a portfolio with this many adapters; a prompted base costs nothing more."""
    memory = assumed.base_gb + adapters * assumed.adapter_mb / 1000
    gpus = max(1, math.ceil(memory / assumed.gpu_gb))
    return Serving(memory, gpus, gpus * HOURS_PER_MONTH * assumed.price_per_hour)


def training(adapters: int, assumed: Assumptions) -> Training:
    """Training this many adapters, whether or not they become members."""
    hours = adapters * assumed.train_hours
    return Training(adapters, hours, hours * assumed.price_per_hour)


def by_size(
    sizes: Sequence[int],
    worst: Sequence[float],
    averages: Sequence[float],
    adapters: Sequence[int],
    assumed: Assumptions,
) -> pd.DataFrame:
    """What each size loses, what the next member buys, and what serving it takes; a row per size.

    Args:
        sizes: numbers of members.
        worst: worst gap of each.
        averages: average loss of uniform users, of each.
        adapters: how many each serves beside the base.
        assumed: of serving.
    """
    rows = []
    for i, (size, served) in enumerate(zip(sizes, adapters, strict=True)):
        cost = serving(served, assumed)
        rows.append(
            {
                "members": size,
                "worst gap": worst[i],
                "average loss": averages[i],
                "one more bought, worst": worst[i - 1] - worst[i] if i else None,
                "one more bought, average": averages[i - 1] - averages[i] if i else None,
                "GPU memory (GB)": cost.memory_gb,
                "GPUs": cost.gpus,
                "serving per month": cost.per_month,
            }
        )
    return pd.DataFrame(rows)
