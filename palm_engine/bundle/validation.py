"""Turns pydantic's errors into one line that names the field and what is wrong with it."""

from __future__ import annotations

from pydantic import ValidationError


def describe_validation_error(error: ValidationError) -> str:
    """The first few problems of a pydantic error as 'field: what is wrong', in one line."""
    problems = []
    for item in error.errors()[:5]:
        field = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        message = "unknown key; remove it" if item["type"] == "extra_forbidden" else item["msg"]
        problems.append(f"{field}: {message}")
    return "; ".join(problems)
