"""Turns pydantic's errors into one line that names the field and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

MOST_LETTERS = 80
MOST_CHARACTERS = 800


def describe_validation_error(error: ValidationError) -> str:
    """The first few problems of a pydantic error as 'field: what is wrong', in one line."""
    problems = []
    items = error.errors()
    places = [item["loc"] for item in items]
    for item in [i for i in items if not _is_other_kind(i["loc"], places)][:5]:
        field = ".".join(str(part)[:MOST_LETTERS] for part in item["loc"] if "[" not in str(part))
        message = "unknown key; remove it" if item["type"] == "extra_forbidden" else item["msg"]
        # A check between fields names them itself.
        own = item["type"] == "value_error"
        message = message.removeprefix("Value error, ") if own else message
        problems.append(f"{field}: {message}" if field else message)
    return "; ".join(problems)[:MOST_CHARACTERS]


def _is_other_kind(place: tuple[int | str, ...], places: Sequence[tuple[int | str, ...]]) -> bool:
    """Whether it is only that a table isn't a name, where something in the table is wrong."""
    above = place[:-1]
    return place[-1:] == ("str",) and any(
        other != place and other[: len(above)] == above for other in places
    )
