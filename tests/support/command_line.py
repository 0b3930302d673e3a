"""The type of the fixture that runs `palm` in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Done(NamedTuple):
    """How a command ended: its status, what it printed, and its errors on one line."""

    status: int
    out: str
    err: str


Palm = Callable[..., Done]
