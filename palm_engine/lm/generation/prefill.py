"""Running the conversations before the first token.

What requests of one policy have in common is run once.

Pools ask the same prompt many times, and all conversations of a policy begin with its system
prompt. The idea of sharing prefixes between requests: SGLang's RadixAttention (arXiv 2312.07104);
here within one batch only, and only on models that go by the mask alone: a common beginning puts
the padding behind it, where a window would count it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from palm_engine.lm.generation.conversation import Request, padded

# A pass of its own for common beginnings costs about as much as this many tokens in a larger one
# (measured on CPU).
WORTH_A_PASS = 64


class Prefilled(NamedTuple):
    """Conversations that were run, one row per request.

    Attributes:
        logits: of the first token, (rows, vocabulary).
        cache: of keys and values.
        mask: of the tokens.
        positions: the last position of each row.
    """

    logits: Any
    cache: Any
    mask: Any
    positions: Any


def prefill(
    model: Any,
    tokenizer: Any,
    requests: Sequence[Request],
    running: Callable[[Any], AbstractContextManager[None]],
) -> Prefilled:
    """Run the requests' conversations. `running` as for `sampling.stream_tokens`."""
    import torch

    from palm_engine.lm.generation.growing_cache import new_cache, takes_room

    conversations = [tuple(r.ids(tokenizer)) for r in requests]
    first: dict[
        tuple[str, tuple[int, ...]], int
    ] = {}  # the request that stands for all with its conversation
    shares = takes_room(model)
    policies = [r.policy if shares else f"{i}" for i, r in enumerate(requests)]
    for i, key in enumerate(zip(policies, conversations, strict=True)):
        first.setdefault(key, i)
    distinct = list(first.values())
    leaders: dict[str, int] = {}  # the request that stands for its policy
    for i in distinct:
        leaders.setdefault(policies[i], i)
    cache = new_cache(model)
    device = model.get_input_embeddings().weight.device

    def run(
        rows: Sequence[int], sequences: Sequence[Sequence[int]], before: int
    ) -> tuple[Any, Any, Any]:
        batch = padded(model, tokenizer, sequences, before)
        with torch.inference_mode(), running(torch.tensor(rows, device=device)):
            out = model(
                input_ids=batch.input_ids,
                attention_mask=batch.mask,
                position_ids=batch.positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return out.logits[:, -1], batch.mask, batch.positions[:, -1:]

    common = common_beginning([(policies[i], conversations[i]) for i in distinct])
    if common * (len(distinct) - len(leaders)) < WORTH_A_PASS:
        common = 0
    else:
        run(list(leaders.values()), [conversations[i][:common] for i in leaders.values()], 0)
        place = {policy: row for row, policy in enumerate(leaders)}
        cache.batch_select_indices(torch.tensor([place[policies[i]] for i in distinct]))
    logits, mask, positions = run(distinct, [conversations[i][common:] for i in distinct], common)
    if len(distinct) < len(requests):
        row = {i: j for j, i in enumerate(distinct)}
        whose = [row[first[key]] for key in zip(policies, conversations, strict=True)]
        index = torch.tensor(whose)  # on the CPU: what it picks from may lie on several devices
        cache.batch_select_indices(index)
        logits, mask, positions = (x[index] for x in (logits, mask, positions))
    return Prefilled(logits, cache, mask, positions)


def common_beginning(conversations: Sequence[tuple[str, Sequence[int]]]) -> int:
    """How many tokens the conversations of each policy begin with in common.

    One token at least is left over.

    Args:
        conversations: (policy, ids) each.
    """
    leaders = dict(reversed(conversations))
    common = min(len(ids) for _, ids in conversations) - 1
    for policy, ids in conversations:
        pairs = zip(leaders[policy][:common], ids, strict=False)
        common = next((i for i, (a, b) in enumerate(pairs) if a != b), common)
    return common
