"""Text from tokens as they come: half a character, or space that may be the last, waits."""

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
        self._space = ""
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        if self._backend is not None:
            from tokenizers.decoders import DecodeStream

            self._stream = DecodeStream(skip_special_tokens=True)

    def add(self, token: int) -> str:
        """The new text that is certain after this token; may be empty."""
        self._ids.append(token)
        if self._backend is None:
            # An incomplete character is decoded as U+FFFD until its last byte is there.
            return self._up_to(self._whole().removesuffix("\ufffd"))
        piece = self._stream.step(self._backend, token) or ""
        return self._up_to(self._given + self._space + piece)

    def rest(self) -> str:
        """What is left once no token will follow."""
        return self._up_to(self._whole())

    def _whole(self) -> str:
        return str(self._tokenizer.decode(self._ids, skip_special_tokens=True))

    def _up_to(self, text: str) -> str:
        """The part of `text` that was not given yet; outer space is kept back."""
        text = text.lstrip()
        certain = text.rstrip()
        if not certain.startswith(self._given):
            return ""  # a decoder that takes back what it gave; the rest follows once it agrees
        new = certain[len(self._given) :]
        self._given = certain
        self._space = text[len(certain) :]
        return new
