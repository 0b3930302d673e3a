"""The one pattern of names: of bundles, policies and traits, in configurations, tables and bundles.

Names become folders, model names on a server and words of a command line, hence no separators, no
leading dot or dash.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
NAME_RULE = "letters, digits, '.', '_' and '-', at most 64, beginning with a letter or a digit"
Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]


def is_name(text: str) -> bool:
    """Whether `text` can be the name of a bundle, a policy or a trait."""
    return re.fullmatch(NAME_PATTERN, text) is not None
