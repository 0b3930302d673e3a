"""Turns pydantic's errors into one line that names the field and what is wrong with it."""

from __future__ import annotations

from pydantic import ValidationError

MOST_LETTERS = 80
MOST_CHARACTERS = 800


def describe_validation_error(error: ValidationError) -> str:
    """The first few problems of a pydantic error as 'field: what is wrong', in one line."""
    problems = []
    for item in error.errors()[:5]:
        field = ".".join(str(part)[:MOST_LETTERS] for part in item["loc"])
        message = "unknown key; remove it" if item["type"] == "extra_forbidden" else item["msg"]
        # A check between fields names them itself.
        own = item["type"] == "value_error"
        message = message.removeprefix("Value error, ") if own else message
        problems.append(f"{field}: {message}" if field else message)
    return "; ".join(problems)[:MOST_CHARACTERS]
