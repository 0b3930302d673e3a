"""Files of keys, and rates."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("limits")

from palm_engine.errors import InvalidInputError
from palm_engine.serving.gateway.access import EVERYBODY, Access, read_keys
from palm_engine.serving.gateway.errors import TooManyRequestsError

KEY = "0123456789abcdef"


def test_a_file_of_keys_has_names_and_comments(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\nshop {KEY}\n\ndesk {KEY}x # second\n")
    assert read_keys(file) == {KEY: "shop", f"{KEY}x": "desk"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "holds no keys"),
        (KEY, "line 1: write NAME KEY"),
        ("shop short", "line 1: the key of 'shop' has fewer than 16"),
        (f"shop {KEY}\ndesk {KEY}", "line 2: 'desk' or its key is there twice"),
        (f"shop {KEY}\nshop {KEY}x", "line 2"),
        (f"shop {KEY} more", "line 1"),
    ],
)
def test_a_file_that_makes_no_sense_is_named_with_its_line(
    tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(InvalidInputError, match=named) as failed:
        read_keys(file)
    assert KEY not in str(failed.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="No such file"):
        read_keys(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        read_keys(tmp_path / "bytes")


@pytest.mark.parametrize("rate", ["often", "0/minute", "-1/minute", "", "3"])
def test_a_rate_that_makes_no_sense_is_refused(rate: str) -> None:
    with pytest.raises(InvalidInputError, match="--rate"):
        Access(None, rate)


def test_without_keys_each_address_has_a_rate_of_its_own() -> None:
    access = Access(None, "2/minute")
    for address in ("1.2.3.4", "5.6.7.8"):
        name = access.require({})
        assert name == EVERYBODY
        access.count(name, address)
        access.count(name, address)
        with pytest.raises(TooManyRequestsError) as refused:
            access.count(name, address)
        assert refused.value.retry_after is not None
        assert 1 <= refused.value.retry_after <= 60
