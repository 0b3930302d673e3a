"""From raw scores to rewards in [0, 1]: direction and normalisation of a trait.

A gap means what the normalisation makes of it. `range`, `min-max` and `unit` are linear: they keep
which mixtures of traits are worth the same. `quantile` and `logistic` are not; they tame outliers.
Multiplicative gaps move with where 0 lies, whichever is chosen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.tables.numbers import Numbers

Direction = Literal["higher", "lower"]
Method = Literal["unit", "range", "min-max", "quantile", "logistic"]
METHODS: tuple[Method, ...] = ("unit", "range", "min-max", "quantile", "logistic")
# Beginnings of words: a sentiment is no time, and an answer no word error rate.
_LOWER = re.compile(
    r"(?<![a-z])(?:length|len(?![a-z])|words|chars|latency|delay|(?:run)?time(?!ly)|seconds|cost|price|error|"
    r"loss|perplexity|toxic|harm(?!less)|refus|halluc|bias|violat|unsafe|risk|wer(?![a-z])|cer(?![a-z]))"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Of a normal distribution, per standard deviation.
_IQR = 1.349


class Scaling(BaseModel):
    """How a trait's scores become rewards.

    `unit`: they are in [0, 1] already; `range`: from `low` to `high`; `min-max`: from the least to
    the largest in the table; `quantile`: their rank in the table; `logistic`: around the table's
    median, in units of its spread (interquartile range / 1.349).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = "unit"
    direction: Direction = Field("higher", description="which scores are better")
    low: float | None = Field(None, allow_inf_nan=False, description="scores 0 (range)")
    high: float | None = Field(None, allow_inf_nan=False, description="scores 1 (range)")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        given = self.low is not None and self.high is not None
        if self.method == "range":
            if not given or self.low >= self.high:  # type: ignore[operator]
                raise ValueError("range needs low and high, low below high")
        elif self.low is not None or self.high is not None:
            raise ValueError(f"low and high belong to range, not to {self.method}")
        return self

    @property
    def is_linear(self) -> bool:
        """Whether equal differences stay equal."""
        return self.method in ("unit", "range", "min-max")


@dataclass(frozen=True)
class Scaled:
    """A column as rewards.

    Attributes:
        rewards: in [0, 1]; NaN where the score is.
        words: what was done, in one sentence with its numbers.
    """

    rewards: Floats
    words: str


def scale(values: Floats, scaling: Scaling, column: str) -> Scaled:
    """Turn scores into rewards.

    Args:
        values: scores, any shape; NaN where missing.
        scaling: how.
        column: named in messages.

    Returns:
        Rewards of the same shape, and the sentence for the bundle.

    Raises:
        InvalidInputError: a score is out of the range that was given, or all are equal where their
            spread is needed.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        raise InvalidInputError(f"column {column}: holds no number")
    least, most = float(known.min()), float(known.max())
    method = scaling.method
    if method in ("unit", "range"):
        low = 0.0 if scaling.low is None else scaling.low
        high = 1.0 if scaling.high is None else scaling.high
        if least < low or most > high:
            out = known[(known < low) | (known > high)][0]
            hint = " (or min-max, quantile, logistic)" if method == "unit" else ""
            raise InvalidInputError(
                f"column {column}: {out:g} is not in [{low:g}, {high:g}]; choose another range or"
                f" normalisation{hint}"
            )
        rewards = (values - low) / (high - low)
        words = "in [0, 1] as in the table" if method == "unit" else f"from {low:g} to {high:g}"
    elif least == most:
        raise InvalidInputError(
            f"column {column}: every score is {least:g}, so {method} has nothing to measure with;"
            " give a range, or leave the column out"
        )
    elif method == "min-max":
        rewards = (values - least) / (most - least)
        words = f"min-max over the table, {least:g} to {most:g}"
    elif method == "quantile":
        ranks = np.full(values.shape, np.nan)
        finite = np.isfinite(values)
        ranks[finite] = pd.Series(values[finite]).rank()
        rewards = (ranks - 0.5) / finite.sum()
        words = f"rank among the {finite.sum():,} scores of the table"
    else:
        middle = float(np.median(known))
        quartiles = np.percentile(known, [25, 75])
        spread = float(quartiles[1] - quartiles[0]) / _IQR or float(known.std())
        from scipy.special import expit

        rewards = expit((values - middle) / spread)
        words = f"logistic around {middle:g}, spread {spread:g}"
    if scaling.direction == "lower":
        return Scaled(1.0 - rewards, f"{words}; lower is better, so 1 minus it")
    return Scaled(rewards, words)


def guess_direction(column: str) -> Direction:
    """Which scores of a column look better, by its name."""
    return "lower" if _LOWER.search(_CAMEL.sub("_", column).lower()) else "higher"


def guess_scaling(column: str, read: Numbers) -> Scaling:
    """What a column's scores look like; a suggestion that people see and can change.

    Args:
        column: its name.
        read: its cells.
    """
    known = read.values[np.isfinite(read.values)]
    direction = guess_direction(column)
    if not known.size:
        return Scaling(direction=direction)
    least, most = float(known.min()), float(known.max())
    halves = bool((known % 0.5 == 0).all())
    percentage = read.percent or bool(
        re.search(r"%|pct|percent|rate|acc|score|win", column.lower())
    )
    if read.percent and least >= 0 and most <= 100:
        return Scaling(method="range", low=0, high=100, direction=direction)
    if least >= 0 and most <= 1:
        return Scaling(direction=direction)
    if halves and least >= 0 and most <= 10 and len(np.unique(known)) > 2:
        # A judge's grades: from 1, unless somebody got less.
        low = 1 if least >= 1 else 0
        return Scaling(method="range", low=low, high=5 if most <= 5 else 10, direction=direction)
    if percentage and direction == "higher" and least >= 0 and 10 < most <= 100:
        return Scaling(method="range", low=0, high=100)
    return Scaling(method="min-max", direction=direction)
