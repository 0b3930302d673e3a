"""The request as the engine gets it: drawn as was evaluated, where nothing else is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palm_engine.lm.settings import SamplingSettings
from palm_engine.serving.gateway.conversation import messages_of, with_system
from palm_engine.serving.gateway.portfolio import Decision

# What a request may leave to the settings that the portfolio was evaluated with.
SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty")
LENGTHS = ("max_tokens", "max_completion_tokens")
# Fields that change nothing in how an answer is drawn; every other one may.
NEUTRAL = frozenset(
    {"model", "messages", "palm", "stream", "stream_options", "user", "metadata", "store", "n"}
    | {"seed", "logprobs", "top_logprobs", "service_tier", "safety_identifier"}
    | {"prompt_cache_key", *SAMPLING, *LENGTHS}
)


@dataclass(frozen=True)
class Forwarded:
    """A request on its way to the engine.

    Attributes:
        body: as the engine gets it.
        filled: settings that the gateway has put in, and that may be left out where an engine
            doesn't know them.
        source: where its weights come from.
        as_evaluated: whether it is drawn and prompted as the portfolio was evaluated.
    """

    body: dict[str, Any]
    filled: frozenset[str]
    source: str
    as_evaluated: bool


def forwarded(body: Mapping[str, Any], decision: Decision, source: str) -> Forwarded:
    """The request as the engine gets it.

    The member's model and system prompt are put in, and where the request leaves them out, the
    settings that the portfolio was evaluated with.

    Args:
        body: of the request.
        decision: who answers.
        source: of the weights.

    Raises:
        BadRequestError: messages that make no sense.
    """
    sent = {k: v for k, v in body.items() if k != "palm" and v is not None}
    sent["model"] = decision.model
    sent["messages"] = with_system(messages_of(body), decision.system)
    sampling = decision.bundle.manifest.sampling
    filled: dict[str, Any] = {}
    if sampling is not None:
        filled = {name: getattr(sampling, name) for name in SAMPLING if name not in sent}
        if not any(name in sent for name in LENGTHS):
            filled["max_tokens"] = sampling.max_new_tokens
    as_evaluated = is_as_evaluated(body, decision)
    return Forwarded(sent | filled, frozenset(filled), source, as_evaluated)


def is_as_evaluated(body: Mapping[str, Any], decision: Decision) -> bool:
    """Whether a request is drawn and prompted as the portfolio was evaluated: one question alone.

    Args:
        body: of the request, its messages checked.
        decision: who answers.
    """
    messages = messages_of(body)
    question = messages[0]
    if len(messages) > 1 or question["role"] != "user":
        return False
    given = {name: value for name, value in body.items() if value is not None}
    if not isinstance(question.get("content"), str) or set(given) - NEUTRAL:
        return False
    return _drawn_alike(given, decision.bundle.manifest.sampling)


def _drawn_alike(given: Mapping[str, Any], sampling: SamplingSettings | None) -> bool:
    settings = {name: given[name] for name in SAMPLING if name in given}
    lengths = [given[name] for name in LENGTHS if name in given]
    if sampling is None:
        return not settings and not lengths
    alike = all(getattr(sampling, name) == value for name, value in settings.items())
    return alike and all(length == sampling.max_new_tokens for length in lengths)
