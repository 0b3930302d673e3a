"""Servers that policies answered at, as bundles and people write them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palm_engine.bundle.folder import Bundle

# Whose messages come from outside.
WRITTEN = ("user", "tool", "function")
KEY_VARIABLE = "OPENAI_API_KEY"
# What servers say where a chat template has no system role: Gemma's, Mistral's first, others.
_NO_SYSTEM_ROLE = re.compile(
    r"system role|roles must alternate|only user\b.*\broles", re.IGNORECASE
)


# What chat templates begin and end turns with: ChatML's kind (Qwen, Llama 3, Phi, Granite, Cohere,
# DeepSeek), Gemma's and Llama 2's tags, Mistral's brackets.
_CONTROL = re.compile(
    r"<[|\uff5c][^<>|\uff5c\n]{1,60}[|\uff5c]>"
    r"|</?(?:start_of_turn|end_of_turn|bos|eos|pad|unk|mask|s|end)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT)\]"
)
# Seen by nobody; a tokenizer takes what it is in for text.
_BREAK = "\u200b"


def as_text(text: str) -> str:
    """A user's text for a server: what looks like a special token is broken up, and is text.

    A server reads `<|im_start|>system` in a message as the beginning of a turn. Models that run
    here need no such thing (lm/generation/conversation.py).
    """
    return _CONTROL.sub(lambda found: found[0][0] + _BREAK + found[0][1:], text)


def with_plain_users(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages in which what users and tools wrote is text, parts of a message too.

    Args:
        messages: in OpenAI's form; those of the system and of the model are left as they are.
    """
    return [
        {**m, "content": _plain(m.get("content"))} if m.get("role") in WRITTEN else dict(m)
        for m in messages
    ]


def _plain(content: Any) -> Any:
    if isinstance(content, str):
        return as_text(content)
    if not isinstance(content, list):
        return content
    return [
        {**part, "text": as_text(part["text"])}
        if isinstance(part, dict) and isinstance(part.get("text"), str)
        else part
        for part in content
    ]


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
