"""JSON from outside: read within limits, and never anything that JSON doesn't have."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, NoReturn

from palm_engine._limits import most_json
from palm_engine.errors import PalmError

MOST_DEPTH = 64
# Longer numbers are no measurements; Python would take long to read them.
MOST_DIGITS = 400


class _Unfit(ValueError):
    """Why a text isn't read as JSON."""


def read_json(path: Path, error: type[PalmError], hint: str, most_bytes: int | None = None) -> Any:
    """The content of a JSON file from outside.

    Args:
        path: a regular file.
        error: what is raised where it can't be read.
        hint: what to do then.
        most_bytes: larger files are refused; those above `most_json` if not given.

    Raises:
        PalmError: of the kind `error`: there is no such file, it can't be read, or its text isn't
            JSON: NaN and infinities, keys twice in one object, numbers of hundreds of digits,
            surrogates and deep nesting are refused too.
    """
    try:
        text = read_text(path, most_bytes)
    except FileNotFoundError as missing:
        raise error(f"{path}: no such file; {hint}") from missing
    except OSError as unreadable:
        raise error(f"{path}: can't be read ({reason(unreadable)}); {hint}") from unreadable
    except UnicodeDecodeError as odd:
        raise error(f"{path}: not valid JSON ({str(odd)[:200]}); {hint}") from odd
    return parse_json(text, error, str(path), hint)


def parse_json(text: str | bytes, error: type[PalmError], where: str, hint: str) -> Any:
    """The content of a text from outside, within the limits of `read_json`.

    Args:
        text: as text, or as UTF-8.
        error: what is raised where it isn't JSON.
        where: it comes from.
        hint: what to do then.

    Raises:
        PalmError: of the kind `error`.
    """
    try:
        content = json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            parse_constant=_no_constant,
            parse_int=_number,
            object_pairs_hook=_distinct,
        )
        _check(content)
    except RecursionError as deep:
        raise error(f"{where}: nested too deeply; {hint}") from deep
    except (_Unfit, UnicodeDecodeError, json.JSONDecodeError) as odd:
        raise error(f"{where}: not valid JSON ({str(odd)[:200]}); {hint}") from odd
    return content


def read_text(path: Path, most_bytes: int | None = None) -> str:
    """The text of a regular file, as UTF-8 (a byte order mark is left out).

    Raises:
        OSError: there is none, it can't be read, is no regular file or too large.
        UnicodeDecodeError: it isn't UTF-8.
    """
    try:
        about = path.stat()
    except ValueError as error:  # a null byte in the name
        raise OSError(0, str(error)) from error
    if not stat.S_ISREG(about.st_mode):
        raise OSError(0, "no regular file")
    most = most_json() if most_bytes is None else most_bytes
    if about.st_size > most:
        raise OSError(0, f"{about.st_size:,} bytes, more than {most:,}")
    return path.read_text(encoding="utf-8-sig")


def reason(error: OSError) -> str:
    """Why a file can't be read or written, in a few words."""
    return error.strerror or str(error)


def _no_constant(name: str) -> NoReturn:
    raise _Unfit(f"{name} is no number")


def _number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise _Unfit(f"a number of {len(digits):,} digits")
    return int(digits)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise _Unfit(f"{repeated[:60]!r} stands twice in one object")
    return content


def _check(content: Any) -> None:
    level = [content]
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, str):
                try:
                    value.encode()
                except UnicodeEncodeError as error:
                    raise _Unfit("a text holds half of a character (a surrogate)") from error
            elif isinstance(value, float) and value in (float("inf"), float("-inf")):
                raise _Unfit("a number is too large")
        level = below
        if not level:
            return
    raise _Unfit(f"nested more than {MOST_DEPTH} levels deep")
