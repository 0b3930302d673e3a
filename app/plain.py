"""Text of bundles and users where it would be read as markup: in Markdown, and in figures."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import plotly.graph_objects as go

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$:~&])")
# Plotly reads a few tags in any text; a link is the one that leads away.
_LINK = re.compile(r"<(?=\s*/?\s*a\b)", re.IGNORECASE)


def inert(text: str) -> str:
    """The text with every sign escaped that Markdown, HTML or Streamlit would obey."""
    return _SPECIAL.sub(r"\\\1", text)


def inert_figure(figure: go.Figure) -> dict[str, Any]:
    """The figure as Plotly's JSON, in which no text makes a link."""
    found = _without_links(figure.to_plotly_json())
    assert isinstance(found, dict)
    return found


def _without_links(part: Any) -> Any:
    if isinstance(part, str):
        return _LINK.sub("&lt;", part)
    if isinstance(part, dict):
        return {key: _without_links(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_without_links(value) for value in part]
    if isinstance(part, np.ndarray) and part.dtype.kind in "OU":
        return np.array([_without_links(value) for value in part.ravel()], dtype=object).reshape(
            part.shape
        )
    return part
