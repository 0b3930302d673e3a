"""Text of bundles and users inside of a sentence that Streamlit reads as Markdown."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$:~&])")


def inert(text: str) -> str:
    """The text with every sign escaped that Markdown, HTML or Streamlit would obey."""
    return _SPECIAL.sub(r"\\\1", text)
