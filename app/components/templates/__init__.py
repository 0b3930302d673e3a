"""HTML templates, filled with every text escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )


def fill(name: str, **values: object) -> str:
    """The template file `name` with `values` filled in, escaped where it doesn't say otherwise."""
    return _environment().get_template(name).render(**values)
