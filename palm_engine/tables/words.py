"""How long a text is, in words of any script."""

from __future__ import annotations

import re

# Scripts that put no blanks between words: each letter counts. Thai, Lao, Burmese, Khmer, kana,
# Chinese characters.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+(?:['’][^\\W{_UNSPACED}]+)*")


def count_words(text: str) -> int:
    """How many words a text has; letters, in scripts that put no blanks between words."""
    return sum(1 for _ in _WORD.finditer(text))
