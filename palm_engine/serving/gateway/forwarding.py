"""The request as the engine gets it: drawn as was evaluated, where nothing else is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palm_engine.lm.settings import SamplingSettings
from palm_engine.serving.gateway.conversation import has_own_system, messages_of, with_system
from palm_engine.serving.gateway.portfolio import Decision

# What a request may leave to the settings that the portfolio was evaluated with.
SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty")
LENGTHS = ("max_tokens", "max_completion_tokens")
# Other settings that change what is drawn.
STEERING = (
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "stop",
    "response_format",
    "min_p",
)


def forwarded(body: Mapping[str, Any], decision: Decision) -> dict[str, Any]:
    """The request as the engine gets it.

    The member's model and system prompt are put in, and where the request leaves them out, the
    settings that the portfolio was evaluated with.

    Args:
        body: of the request.
        decision: who answers.

    Raises:
        BadRequestError: messages that make no sense.
    """
    sent = {k: v for k, v in body.items() if k != "palm"}
    sent["model"] = decision.model
    sent["messages"] = with_system(messages_of(body), decision.system)
    sampling = decision.bundle.manifest.sampling
    if sampling is not None:
        for name in SAMPLING:
            sent.setdefault(name, getattr(sampling, name))
        if not any(name in sent for name in LENGTHS):
            sent["max_tokens"] = sampling.max_new_tokens
    return sent


def is_as_evaluated(body: Mapping[str, Any], decision: Decision) -> bool:
    """Whether a request is drawn and prompted as the portfolio was evaluated.

    Args:
        body: of the request, its messages checked.
        decision: who answers.
    """
    messages = messages_of(body)
    # The portfolio was evaluated on questions, not in the course of conversations.
    if has_own_system(messages) or len([m for m in messages if m["role"] == "user"]) > 1:
        return False
    if any(body.get(name) for name in STEERING):
        return False
    return _drawn_alike(body, decision.bundle.manifest.sampling)


def _drawn_alike(body: Mapping[str, Any], sampling: SamplingSettings | None) -> bool:
    given = {name: body[name] for name in SAMPLING if body.get(name) is not None}
    lengths = [body[name] for name in LENGTHS if body.get(name) is not None]
    if sampling is None:
        return not given and not lengths
    alike = all(getattr(sampling, name) == value for name, value in given.items())
    return alike and all(length == sampling.max_new_tokens for length in lengths)
