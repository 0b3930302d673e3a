"""Text from tokens as they come.

Half a character, or space that may turn out to be the last, waits.
"""

from __future__ import annotations

from typing import Any


class TextStream:
    """The text of one answer.

    What `add` and `rest` returned, joined, is the stripped text of all tokens.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._given = ""

    def add(self, token: int) -> str:
        """The new text that is certain after this token; may be empty."""
        self._ids.append(token)
        text = self._text()
        # An incomplete character is decoded as U+FFFD until its last byte is there.
        return (
            self._give(text.removesuffix("\ufffd").rstrip()) if len(text) > len(self._given) else ""
        )

    def rest(self) -> str:
        """What is left once no token will follow."""
        return self._give(self._text())

    def _text(self) -> str:
        return str(self._tokenizer.decode(self._ids, skip_special_tokens=True)).strip()

    def _give(self, text: str) -> str:
        if not text.startswith(self._given):
            return (  # only a decoder that takes back what it said; the rest follows once it agrees
                ""
            )
        new = text[len(self._given) :]
        self._given = text
        return new
