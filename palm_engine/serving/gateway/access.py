"""Who may ask the gateway, and how often: keys of a file, a rate for each."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from palm_engine._json import reason
from palm_engine.errors import InvalidInputError
from palm_engine.serving.gateway.errors import TooManyRequestsError, UnauthorizedError

if TYPE_CHECKING:
    from limits import RateLimitItem

FEWEST_LETTERS = 16
MOST_BYTES = 1_000_000
EVERYBODY = "everybody"


class Access:
    """Keys and rates.

    Only hashes of keys are kept: comparing these tells nothing of a key by its time.
    """

    def __init__(self, keys: Mapping[str, str] | None = None, rate: str | None = None) -> None:
        """Set up.

        Args:
            keys: name by key; None lets everybody in.
            rate: requests of each key (without keys: of each address), as in "60/minute".

        Raises:
            InvalidInputError: a rate that makes no sense.
        """
        from limits.storage import MemoryStorage
        from limits.strategies import MovingWindowRateLimiter

        self._names = None if keys is None else {_hashed(k): name for k, name in keys.items()}
        self.keys = keys is not None  # whether one is needed
        self._rate = None if rate is None else _rate(rate)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def require(self, headers: Mapping[str, str]) -> str:
        """The name of the key that a request shows, or EVERYBODY.

        Args:
            headers: of the request, by lower-case name.

        Raises:
            UnauthorizedError: no key, or a wrong one.
        """
        if self._names is None:
            return EVERYBODY
        scheme, _, key = headers.get("authorization", "").partition(" ")
        name = self._names.get(_hashed(key.strip())) if scheme.lower() == "bearer" else None
        if name is None:
            raise UnauthorizedError("a key is needed: Authorization: Bearer KEY")
        return name

    def count(self, name: str, address: str) -> None:
        """Count a request against the rate of its key.

        Args:
            name: of the key.
            address: of the client.

        Raises:
            TooManyRequestsError: it is used up.
        """
        if self._rate is None:
            return
        who = address if self._names is None else name
        if not self._limiter.hit(self._rate, who):
            until = self._limiter.get_window_stats(self._rate, who).reset_time
            wait = max(1, math.ceil(until - time.time()))
            raise TooManyRequestsError(
                f"more than {self._rate} requests; try again in {wait} s", wait
            )


def read_keys(path: Path) -> dict[str, str]:
    """Names by key, of a file with a line `NAME KEY` for each; `#` begins a comment.

    Raises:
        InvalidInputError: names the file and line.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidInputError(f"{path}: is too large for a file of keys")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidInputError(f"{path}: can't be read ({reason(error)})") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path}: isn't text in UTF-8") from error
    keys: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"{path}, line {number}"
        if len(words) != 2:
            raise InvalidInputError(f"{where}: write NAME KEY, with a space between")
        name, key = words
        if len(key) < FEWEST_LETTERS:
            raise InvalidInputError(
                f"{where}: the key of {name!r} has fewer than {FEWEST_LETTERS} characters; make one"
                ' with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        if key in keys or name in keys.values():
            raise InvalidInputError(f"{where}: {name!r} or its key is there twice")
        keys[key] = name
    if not keys:
        raise InvalidInputError(f"{path}: holds no keys; write a line NAME KEY for each")
    return keys


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _rate(text: str) -> RateLimitItem:
    from limits import parse

    try:
        rate = parse(text)
    except ValueError as error:
        raise InvalidInputError(f'--rate {text!r}: write it as in "60/minute"') from error
    if rate.amount < 1:
        raise InvalidInputError(f"--rate {text!r}: at least one request is needed")
    return rate
