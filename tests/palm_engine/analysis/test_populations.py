"""Users from a table: read, scaled, refused by row and column."""

from __future__ import annotations

import io

import pytest

from palm_engine.analysis.populations import read_users
from palm_engine.errors import InvalidInputError


def test_users_are_read_and_scaled() -> None:
    users = read_users(io.BytesIO(b"b,a,note\n1,3,x\n0,2,y\n"), ["a", "b"], "users.csv")
    assert users.tolist() == [[0.75, 0.25], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a\n1\n", "no column 'b'"),
        (b"a,b\n", "1 to"),
        (b"a,b\n1,1\n1,x\n", "row 3, column b"),
        (b"a,b\n1,-1\n", "row 2, column b"),
        (b"a,b\n0,0\n", "row 2"),
        (b"\xff\xfe\x00", "CSV"),
        (b"", "CSV"),
    ],
)
def test_a_wrong_table_of_users_is_refused_by_row_and_column(text: bytes, said: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^users.csv.*") as refused:
        read_users(io.BytesIO(text), ["a", "b"], "users.csv")
    assert said in str(refused.value)
