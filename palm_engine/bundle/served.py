"""Servers that policies answered at, as bundles and people write them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palm_engine.bundle.folder import Bundle

KEY_VARIABLE = "OPENAI_API_KEY"
# What servers say where a chat template has no system role: Gemma's, Mistral's first, others.
_NO_SYSTEM_ROLE = re.compile(
    r"system role|roles must alternate|only user\b.*\broles", re.IGNORECASE
)


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


def lacks_system_role(messages: Sequence[Mapping[str, Any]], refusal: str) -> bool:
    """Whether a server refused messages because its chat template has no system role.

    Args:
        messages: that it was asked with.
        refusal: what it said.
    """
    return messages[0]["role"] == "system" and bool(_NO_SYSTEM_ROLE.search(refusal))


def without_system_role(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same messages for such a template: the system prompt begins the user's message.

    As models that are run here are asked (lm/generation/conversation.py).

    Args:
        messages: the first is the system's, the second the user's, as text.
    """
    system, first, *others = messages
    text = f"{system['content']}\n\n{first['content']}" if system["content"] else first["content"]
    return [{**first, "content": text}, *map(dict, others)]
