"""From scores to rewards: direction, ranges, ranks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from palm_engine.errors import InvalidInputError
from palm_engine.tables.numbers import numbers_of
from palm_engine.tables.scaling import METHODS, Scaling, guess_direction, guess_scaling, scale

X = np.array([2.0, np.nan, 4.0, 10.0])


def test_by_hand() -> None:
    ranged = scale(X, Scaling(method="range", low=0, high=10), "x")
    assert ranged.rewards == pytest.approx([0.2, np.nan, 0.4, 1.0], nan_ok=True)
    assert "from 0 to 10" in ranged.words
    spread = scale(X, Scaling(method="min-max", direction="lower"), "x")
    assert spread.rewards == pytest.approx([1, np.nan, 0.75, 0], nan_ok=True)
    assert "2 to 10" in spread.words
    assert "lower is better" in spread.words
    ranks = scale(X, Scaling(method="quantile"), "x").rewards
    assert ranks == pytest.approx([1 / 6, np.nan, 1 / 2, 5 / 6], nan_ok=True)
    logistic = scale(X, Scaling(method="logistic"), "x")
    assert logistic.rewards[2] == 0.5
    assert "around 4" in logistic.words


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30, unique=True),
    st.sampled_from(["min-max", "quantile", "logistic"]),
)
def test_order_is_kept_and_lower_turns_it_round(values: list[float], method: str) -> None:
    x = np.array(values)
    up = scale(x, Scaling(method=method), "x").rewards
    down = scale(x, Scaling(method=method, direction="lower"), "x").rewards
    assert ((up >= 0) & (up <= 1)).all()
    assert (np.diff(up[np.argsort(x)]) >= -1e-12).all()
    assert down == pytest.approx(1 - up)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"column x: 2 is not in \[0, 1\].*min-max"):
        scale(X, Scaling(), "x")
    with pytest.raises(InvalidInputError, match=r"2 is not in \[3, 20\]"):
        scale(X, Scaling(method="range", low=3, high=20), "x")
    for method in METHODS[2:]:
        with pytest.raises(InvalidInputError, match="every score is 7"):
            scale(np.array([7.0, 7.0]), Scaling(method=method), "x")
    with pytest.raises(InvalidInputError, match="no number"):
        scale(np.array([np.nan]), Scaling(), "x")
    for wrong in (
        {"method": "range"},
        {"method": "range", "low": 2, "high": 1},
        {"method": "unit", "low": 0},
    ):
        with pytest.raises(ValidationError, match="low"):
            Scaling.model_validate(wrong)


@pytest.mark.parametrize(
    ("column", "cells", "expected"),
    [
        ("safety", ["0.2", "0.9"], Scaling()),
        ("helpful", ["3", "7", "9"], Scaling(method="range", low=1, high=10)),
        ("stars", ["1", "3", "5"], Scaling(method="range", low=1, high=5)),
        ("win_rate", ["22.1%", "90%"], Scaling(method="range", low=0, high=100)),
        ("accuracy", ["22.1", "90"], Scaling(method="range", low=0, high=100)),
        ("avg_length", ["1200", "90"], Scaling(method="min-max", direction="lower")),
        ("toxicity", ["0.1", "0.3"], Scaling(direction="lower")),
        ("elo", ["1012", "1300"], Scaling(method="min-max")),
        ("logit", ["-3", "4"], Scaling(method="min-max")),
    ],
)
def test_guesses(column: str, cells: list[str], expected: Scaling) -> None:
    assert guess_scaling(column, numbers_of(pd.Series(cells))) == expected


@pytest.mark.parametrize(
    ("columns", "direction"),
    [
        (
            ("avg_length", "Latency (ms)", "runtime", "responseTime", "wer", "Toxicity", "cost"),
            "lower",
        ),
        (("sentiment", "Exact answer", "harmlessness", "overtime", "timely", "biology"), "higher"),
    ],
)
def test_directions_are_read_from_whole_words(columns: tuple[str, ...], direction: str) -> None:
    assert {c: guess_direction(c) for c in columns} == dict.fromkeys(columns, direction)


@pytest.mark.parametrize(
    ("grades", "low", "high"),
    [([1, 7.5, 10], 1, 10), ([0, 5, 10], 0, 10), ([1, 3, 4.5], 1, 5), ([0, 2, 5], 0, 5)],
)
def test_grades_of_a_judge_are_a_range(grades: list[float], low: int, high: int) -> None:
    guess = guess_scaling("judge", numbers_of(pd.Series(grades)))
    assert (guess.method, guess.low, guess.high) == ("range", low, high)
