"""Servers that policies answered at, as bundles and people write them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palm_engine.bundle.folder import Bundle

KEY_VARIABLE = "OPENAI_API_KEY"


def plain_address(url: str) -> str:
    """An address without blanks and a slash at its end: two ways to write one server are one."""
    return url.strip().rstrip("/")


def server_keys(named: Iterable[str]) -> dict[str, str]:
    """The environment variable that holds each server's key, by address; "" for the usual one.

    Args:
        named: addresses, each perhaps with `#VARIABLE`.
    """
    found = {}
    for text in named:
        url, _, variable = text.partition("#")
        if url.strip():
            found[plain_address(url)] = variable.strip()
    return found


def served_policies(bundle: Bundle) -> dict[str, dict[str, str]]:
    """Models of the bundle's remote policies: by address, then by policy."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for candidate in bundle.manifest.candidates:
        if candidate.kind == "remote" and candidate.served_at:
            found[plain_address(candidate.served_at)][candidate.policy] = candidate.served_model
    return dict(found)
