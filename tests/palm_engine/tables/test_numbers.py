"""Cells as numbers, each form on purpose."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palm_engine.tables.numbers import numbers_of, sign_of


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2.5", "-3e-2"], [1, 2.5, -0.03]),
        (["70.5%", "3 %", "100%"], [70.5, 3, 100]),
        (["1,234", "2,049.5", "12"], [1234, 2049.5, 12]),
        (["0,75", "1,5", "2"], [0.75, 1.5, 2]),
        (["1.234,5", "2,0", "3"], [1234.5, 2, 3]),
        (["12 345", "1'000", "7"], [12345, 1000, 7]),
        (["\u22121", "+2", "3."], [-1, 2, 3]),
        (["87,1 %", "3,25\u00a0%", "1.234,5\u202f%"], [87.1, 3.25, 1234.5]),
        (["12\u202f345", "1\u2019000", "7\u2009000"], [12345, 1000, 7000]),
    ],
)
def test_forms_of_numbers(cells: list[str], values: list[float]) -> None:
    read = numbers_of(pd.Series(cells))
    assert read.values.tolist() == pytest.approx(values)
    assert not read.wrong.any()
    assert read.percent == cells[0].endswith("%")


def test_a_comma_that_could_be_either_is_a_thousand_unless_said_otherwise() -> None:
    assert numbers_of(pd.Series(["1,234", "5"])).values.tolist() == [1234, 5]
    assert numbers_of(pd.Series(["1,234", "5"]), ",").values.tolist() == [1.234, 5]
    # Another cell settles it for the whole column.
    assert numbers_of(pd.Series(["1,234", "0,5"])).values.tolist() == [1.234, 0.5]


def test_a_table_with_blanks_before_its_percent_signs_has_a_decimal_comma() -> None:
    table = pd.DataFrame(
        {"model": ["a", "b"], "won": ["87,1 %", "12,9\u00a0%"], "n": ["1.234"] * 2}
    )
    assert sign_of(table) == ","


def test_missing_is_not_wrong() -> None:
    read = numbers_of(pd.Series(["", "NA", "n/a", "-", None, "1", "high", "inf", "1.2.3"]))
    assert read.missing.tolist() == [True] * 5 + [False] * 4
    assert read.wrong.tolist() == [False] * 6 + [True] * 3
    assert numbers_of(pd.Series([1.0, np.nan, np.inf])).wrong.tolist() == [False, False, True]
    for odd in ([True, False], pd.to_datetime(["2026-01-01", "2026-01-02"]), [b"1", b"0"]):
        assert numbers_of(pd.Series(odd)).wrong.tolist() == [True, True], "no measurements"


@given(st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=20))
def test_what_python_prints_is_read_back(values: list[float]) -> None:
    assert numbers_of(pd.Series([repr(v) for v in values])).values.tolist() == values
    grouped = [f"{v:,.2f}" for v in values]
    found = numbers_of(pd.Series(grouped), ".").values
    assert found == pytest.approx([round(v, 2) for v in values], abs=0.011)
