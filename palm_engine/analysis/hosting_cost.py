"""What a portfolio costs to train and to hold in memory, from assumptions that the user gives."""

from __future__ import annotations

from dataclasses import dataclass

from palm_engine.errors import InvalidInputError


@dataclass(frozen=True)
class Assumptions:
    """What a user assumes.

    Attributes:
        base_gb: GPU memory of the base, in GB.
        adapter_mb: of one adapter, in MB.
        train_hours: GPU hours to train one adapter.
        price_per_hour: price of a GPU hour.
    """

    base_gb: float
    adapter_mb: float
    train_hours: float
    price_per_hour: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise InvalidInputError(f"{name} must be 0 or more, got {value}")


@dataclass(frozen=True)
class Cost:
    """What a portfolio takes.

    Attributes:
        memory_gb: GPU memory to serve all members from one base, in GB.
        train_hours: GPU hours to train them.
        price: of these.
    """

    memory_gb: float
    train_hours: float
    price: float


def cost_of(adapters: int, assumed: Assumptions) -> Cost:
    """Cost of a portfolio with this many adapters on one shared base.

    A prompted base costs nothing more.
    """
    hours = adapters * assumed.train_hours
    memory = assumed.base_gb + adapters * assumed.adapter_mb / 1024
    return Cost(memory, hours, hours * assumed.price_per_hour)
