"""The terminal: text from bundles, models and users is shown as it is, and can't drive it.

No markup, no emoji names and no control characters are obeyed in any text.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text


class PlainConsole(Console):
    """A rich console that takes every string for plain text.

    Args:
        stderr: write there instead of to standard output.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text without control characters, unstyled but for `options`."""
        return super().render_str(printable(text), **options)


def printable(text: str) -> str:
    """Text without control characters, which could drive the terminal."""
    return "".join(c for c in text if c in "\n\t" or (ord(c) >= 32 and not 0x7F <= ord(c) < 0xA0))


def write(text: str) -> None:
    """A line of standard output, for people or for another program; never wrapped."""
    typer.echo(printable(text))


console = PlainConsole()
error_console = PlainConsole(stderr=True)

Replace = Annotated[
    bool,
    typer.Option(
        "--replace", help="Take the place of a bundle that holds more; it is kept as NAME.previous."
    ),
]
