"""How much a table from outside may hold; the environment allows more where there is memory."""

from __future__ import annotations

import os

# JSON takes ten times what the same cells take as text.
JSON_SHARE = 10


def most_cells() -> int:
    """How many cells a table may have: PALM_MOST_CELLS, or 100 million."""
    return _most("PALM_MOST_CELLS", 100_000_000)


def most_columns() -> int:
    """How many columns a table may have: PALM_MOST_COLUMNS, or 2,000."""
    return _most("PALM_MOST_COLUMNS", 2_000)


def most_bytes() -> int:
    """How large a file of text may be: PALM_MOST_BYTES, or 500 MB; reading takes eight times it."""
    return _most("PALM_MOST_BYTES", 500_000_000)


def most_text() -> int:
    """What a Parquet file may take when it is read, in bytes: PALM_MOST_TEXT, or 2 GB."""
    return _most("PALM_MOST_TEXT", 2_000_000_000)


def most_policies() -> int:
    """How many policies a table without a bundle may have: PALM_MOST_POLICIES, or 1,000,000."""
    return _most("PALM_MOST_POLICIES", 1_000_000)


def most_prompts() -> int:
    """How many prompts a table may have: PALM_MOST_PROMPTS, or 1,000,000."""
    return _most("PALM_MOST_PROMPTS", 200_000)


def most_users() -> int:
    """How many rows a file of users may have: PALM_MOST_USERS, or a million."""
    return _most("PALM_MOST_USERS", 1_000_000)


def most_json() -> int:
    """How large a bundle's manifest and other JSON may be: PALM_MOST_JSON, or 64 MB."""
    return _most("PALM_MOST_JSON", 64_000_000)


def _most(name: str, usual: int) -> int:
    named = os.environ.get(name, "")
    return int(named) if named.isdecimal() and len(named) < 16 else usual
