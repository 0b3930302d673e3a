"""What a model is asked: requests, their token ids, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Request:
    """One answer to draw.

    Requests of one `policy` run under the same weights: what their conversations have in common is
    run once.

    Attributes:
        system: the system prompt, or None.
        prompt: the user's.
        seed: of its random stream.
        policy: whose weights it runs under.
    """

    system: str | None
    prompt: str
    seed: tuple[int, ...] = (0,)
    policy: str = ""


def conversation_ids(tokenizer: Any, system: str | None, prompt: str) -> list[int]:
    """Token ids of the conversation up to where the answer begins.

    The system message is always explicit (empty when None): the chat template would otherwise put
    in its own.
    """
    messages = [{"role": "system", "content": system or ""}, {"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


class Batch(NamedTuple):
    """Token sequences of different length as one batch, padded on the left.

    Tensors of shape (rows, longest).
    """

    input_ids: Any
    mask: Any
    positions: Any


def left_padded(model: Any, tokenizer: Any, requests: Sequence[Request]) -> Batch:
    """The requests' conversations on the model's device, each up to where its answer begins."""
    return padded(
        model, tokenizer, [conversation_ids(tokenizer, r.system, r.prompt) for r in requests]
    )


def padded(
    model: Any, tokenizer: Any, sequences: Sequence[Sequence[int]], before: int = 0
) -> Batch:
    """`sequences` of token ids on the model's device.

    Mask and positions count `before` earlier tokens of each row.
    """
    import torch

    device = model.get_input_embeddings().weight.device
    longest = max(len(s) for s in sequences)
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(s)) + list(s) for s in sequences], device=device)
    mask = torch.tensor(
        [[1] * before + [0] * (longest - len(s)) + [1] * len(s) for s in sequences], device=device
    )
    return Batch(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0)[:, before:])
