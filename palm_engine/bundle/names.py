"""The one pattern of names: of bundles, policies and traits, in configurations, tables and bundles.

Names become folders, model names on a server and words of a command line, hence no separators, no
leading dot or dash.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Annotated

from pydantic import Field

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
MOST_LETTERS = 64
# Of a name for people.
MOST_LABEL = 80
NAME_RULE = "letters, digits, '.', '_' and '-', at most 64, beginning with a letter or a digit"
Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]


def is_name(text: str) -> bool:
    """Whether `text` can be the name of a bundle, a policy or a trait."""
    return re.fullmatch(NAME_PATTERN, text) is not None


def trained_name(weights: Iterable[float]) -> str:
    """Name of the adapter trained at weights (d,): percent of each trait, e.g. `lora-60-30-10`."""
    return "lora-" + "-".join(f"{round(100 * w):02d}" for w in weights)


# What `safe_name` leaves as it is.
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


def safe_name(text: str, taken: Collection[str]) -> str:
    """A name for something from outside, near to its own: `org/model 7B` gives `org-model-7B`.

    Args:
        text: what it is called there.
        taken: names that are in use; a number is put behind where it would be the same.
    """
    if text not in taken and _PLAIN.fullmatch(text):
        return text
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:MOST_LETTERS].rstrip("-._")
    plain = plain or "x"
    name = plain
    number = 2
    while name in taken:
        end = f"-{number}"
        name = plain[: MOST_LETTERS - len(end)] + end
        number += 1
    return name
