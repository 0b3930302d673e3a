"""The messages of a request, as the member that answers is to see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palm_engine.serving.gateway.errors import BadRequestError

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_SYSTEM = ("system", "developer")


def messages_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a request.

    Raises:
        BadRequestError: there are none, or one has no role that is known.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError(
            'messages: a list like [{"role": "user", "content": "..."}] is needed'
        )
    for i, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ROLES:
            raise BadRequestError(f"messages.{i}.role: one of {', '.join(ROLES)} is needed")
    return messages


def with_system(messages: Sequence[dict[str, Any]], system: str) -> list[dict[str, Any]]:
    """The messages under a member's system prompt, which comes before the application's own.

    It is always explicit: a chat template would otherwise put in one of its own.

    Args:
        messages: of the request.
        system: the member's system prompt; may be empty.

    Raises:
        BadRequestError: the application's system message isn't text.
    """
    own = [m for m in messages if m["role"] in _SYSTEM]
    others = [m for m in messages if m["role"] not in _SYSTEM]
    parts = [system, *(text_of(m) for m in own)]
    return [{"role": "system", "content": "\n\n".join(p for p in parts if p)}, *others]


def last_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last message of the user; "" where there is none."""
    asked = [m for m in messages if m["role"] == "user"]
    return text_of(asked[-1], strict=False) if asked else ""


def text_of(message: Mapping[str, Any], strict: bool = True) -> str:
    """The text of a message.

    Args:
        message: of a request.
        strict: whether it may hold nothing but text.

    Raises:
        BadRequestError: it holds something else.
    """
    content = message.get("content")
    if isinstance(content, str) or content is None:
        return content or ""
    parts = content if isinstance(content, list) else [content]
    texts = [p.get("text") for p in parts if isinstance(p, dict) and p.get("type") == "text"]
    if strict and (len(texts) < len(parts) or not all(isinstance(t, str) for t in texts)):
        raise BadRequestError(f"messages: the content of a {message['role']} message must be text")
    return "\n".join(t for t in texts if isinstance(t, str))
