"""Sampling answers from a causal language model: an own decode loop over a batch of conversations.

`stream_tokens` yields one token id per row and step, so that a page can show text as it comes;
`sample_answers` consumes it for whole pools. Every row has its own stream of random numbers, keyed
by its seed: which other rows share the batch does not change what a row draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from palm_engine.errors import ModelSourceError
from palm_engine.lm.generation.conversation import Request, turn_end_id
from palm_engine.lm.generation.prefill import prefill
from palm_engine.lm.settings import SamplingSettings

Running = Callable[[Any], AbstractContextManager[None]]


def no_context(rows: Any) -> AbstractContextManager[None]:
    """The context of a pass under no adapter."""
    return nullcontext()


@dataclass(frozen=True)
class Answer:
    """A drawn answer.

    Attributes:
        text: what it says.
        token_ids: without the end token.
        end: the end token that was drawn, or None where the answer was cut.
    """

    text: str
    token_ids: tuple[int, ...]
    end: int | None


@dataclass(frozen=True)
class Mixture:
    """Adapters that answer together: the next token is drawn from their logits added up.

    Attributes:
        weights: by adapter; usually non-negative, sum 1.
        on_rows: of the stack that holds them (`AdapterStack.on_rows`).
    """

    weights: Mapping[str, float]
    on_rows: Callable[[Sequence[str | None]], Running]


def stream_tokens(
    model: Any,
    tokenizer: Any,
    requests: Sequence[Request],
    settings: SamplingSettings,
    running: Running = no_context,
    mixture: Sequence[float] = (1.0,),
) -> Iterator[list[int | None]]:
    """Yield, a step at a time, one token id for each request (None once that request has ended).

    The end token itself is yielded, then None. Stop consuming to cancel: nothing stays behind on
    the model.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer.
        requests: what it is asked.
        settings: of the sampling.
        running: `running(rows)` is the context of each forward pass, given the requests that its
            rows serve (see `stack.on_rows`).
        mixture: weights of policies whose next-token logits are added up (decoding-time mixing, as
            in MOD, arXiv 2406.18853). Each so many requests in turn are one answer under so many
            policies: they differ in `policy` alone, and get the same tokens.
    """
    import torch

    last, cache, mask, positions = prefill(model, tokenizer, requests, running)
    device = mask.device
    # The penalty looks at the answer so far, not at the prompt, which an answer may well quote.
    drawn = torch.zeros(len(requests), 0, dtype=torch.long, device=device)
    # Apple's GPUs have no float64.
    precise = torch.float32 if device.type == "mps" else torch.float64
    drawn_numbers = np.stack(
        [np.random.default_rng(r.seed).random(settings.max_new_tokens) for r in requests]
    )
    uniforms = torch.tensor(drawn_numbers, device=device, dtype=precise)
    ends = end_token_ids(model, tokenizer)
    # Which request each remaining batch row serves: on the device, and known without asking it.
    rows = torch.arange(len(requests), device=device)
    serving = list(range(len(requests)))
    # One for all steps: at a vocabulary a row, fresh memory costs more than what is done with it.
    logits = torch.empty(last.shape, dtype=torch.float32, device=device)
    parts = len(mixture)
    shares = torch.tensor(mixture, dtype=torch.float32, device=device)
    for step in range(settings.max_new_tokens):
        if step > 0:
            with torch.inference_mode(), running(rows):
                last = model(
                    input_ids=drawn[:, -1:],
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                ).logits[:, -1]
        with torch.inference_mode():
            whole = logits[: len(last)].copy_(last)
            if parts > 1:
                whole = torch.einsum("amv,m->av", whole.view(-1, parts, whole.shape[-1]), shares)
            first = rows[::parts]
            chosen = _choose(whole, drawn[::parts], uniforms[first, step], settings)
            chosen = chosen.repeat_interleave(parts)
        tokens: list[int | None] = [None] * len(requests)
        drawn_now = chosen.tolist()  # the one wait for the device in a step
        for row, token in zip(serving, drawn_now, strict=True):
            tokens[row] = token
        yield tokens
        going = [i for i, token in enumerate(drawn_now) if token not in ends]
        if not going:
            return
        positions = positions + 1
        drawn = torch.cat([drawn, chosen[:, None]], dim=1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        if len(going) < len(drawn_now):
            serving = [serving[i] for i in going]
            keep = torch.tensor(going, device=device)
            rows = rows[keep]
            positions = positions[keep]
            mask = mask[keep]
            drawn = drawn[keep]
            cache.batch_select_indices(keep.cpu())  # its layers may lie on several devices


def sample_answers(
    model: Any,
    tokenizer: Any,
    requests: Sequence[Request],
    settings: SamplingSettings,
    batch_size: int = 64,
    progress: Callable[[int], None] = lambda _: None,
    mixture: Mixture | None = None,
) -> list[Answer]:
    """Draw one answer per request, in batches of similar prompt length.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer.
        requests: what it is asked.
        settings: of the sampling.
        batch_size: answers drawn at once.
        progress: gets the number of answers just finished.
        mixture: of adapters that answer together, in place of the one model.
    """
    answers: list[Answer | None] = [None] * len(requests)
    ends = end_token_ids(model, tokenizer)
    shares = (1.0,) if mixture is None else tuple(mixture.weights.values())
    # As many rows at once as without a mixture.
    batch_size = max(1, batch_size // len(shares))
    order = sorted(
        range(len(requests)), key=lambda i: len(requests[i].prompt) + len(requests[i].system or "")
    )
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        drawn: list[list[int]] = [[] for _ in batch]
        asked = [requests[i] for i in batch]
        context: Running = no_context
        if mixture is not None:
            asked = [replace(r, policy=adapter) for r in asked for adapter in mixture.weights]
            context = mixture.on_rows([r.policy for r in asked])
        for tokens in stream_tokens(model, tokenizer, asked, settings, context, shares):
            for ids, token in zip(drawn, tokens[:: len(shares)], strict=True):
                if token is not None:
                    ids.append(token)
        for i, ids in zip(batch, drawn, strict=True):
            end = ids[-1] if ids and ids[-1] in ends else None
            body = tuple(ids if end is None else ids[:-1])
            text = tokenizer.decode(body, skip_special_tokens=True).strip()
            answers[i] = Answer(text, body, end)
        progress(len(batch))
    return [answer for answer in answers if answer is not None]


def end_token_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Token ids that end an answer: of the generation config, the tokenizer and the chat template.

    Raises:
        ModelSourceError: there is none, so no answer would ever end.
    """
    return end_tokens(model.generation_config.eos_token_id, tokenizer)


def end_tokens(configured: Any, tokenizer: Any) -> frozenset[int]:
    """Token ids that end an answer: those `configured` for generation (None, one or several) too.

    Raises:
        ModelSourceError: there is none, so no answer would ever end.
    """
    many = configured if isinstance(configured, list) else [configured]
    known = [*many, tokenizer.eos_token_id, turn_end_id(tokenizer)]
    ends = frozenset(int(t) for t in known if t is not None)
    if not ends:
        raise ModelSourceError(
            "the model has no token that ends an answer; set eos_token in its tokenizer_config.json"
        )
    return ends


def answer_end_id(model: Any, tokenizer: Any) -> int:
    """The token to teach as the end of an answer: the chat template's, else the tokenizer's."""
    end = turn_end_id(tokenizer)
    if end is not None:
        return end
    ends = end_token_ids(model, tokenizer)
    return int(tokenizer.eos_token_id) if tokenizer.eos_token_id in ends else min(ends)


def _choose(logits: Any, drawn: Any, uniform: Any, settings: SamplingSettings) -> Any:
    """Pick one token per row by inverting the nucleus' cumulative distribution.

    `logits` (rows, vocabulary) are modified in place.
    """
    import torch

    if settings.repetition_penalty != 1.0 and drawn.shape[1]:
        before = logits.gather(-1, drawn)
        penalty = settings.repetition_penalty
        logits = logits.scatter_(
            -1, drawn, torch.where(before > 0, before / penalty, before * penalty)
        )
    if settings.temperature == 0:
        return logits.argmax(-1)
    top, indices = torch.topk(logits, min(settings.top_k, logits.shape[-1]))
    # Probabilities relative to the whole vocabulary, so that top_p means what it says.
    best = top[:, :1]
    total = logits.sub_(best).div_(settings.temperature).exp_().sum(-1, keepdim=True)
    probabilities = ((top - best) / settings.temperature).exp() / total
    mass_before = probabilities.cumsum(-1) - probabilities
    kept = probabilities * (mass_before < settings.top_p)
    cumulative = kept.to(uniform.dtype).cumsum(-1)
    place = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:]).clamp(
        max=top.shape[-1] - 1
    )
    return indices.gather(-1, place)[:, 0]
