"""What a model is asked: requests, their token ids, and batches of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from palm_engine.errors import ModelSourceError
from palm_engine.lm.generation.templates import apply_template

# Stands for an answer when it is looked up what a template puts behind one.
ANSWER = "answer-0-answer"


class Turn(NamedTuple):
    """An earlier message of a conversation.

    Attributes:
        role: who wrote it: "user" or "assistant".
        text: what it says.
    """

    role: str
    text: str


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
        earlier: messages between the system prompt and the user's.
    """

    system: str | None
    prompt: str
    seed: tuple[int, ...] = (0,)
    policy: str = ""
    earlier: tuple[Turn, ...] = ()

    def ids(self, tokenizer: Any) -> list[int]:
        """See conversation_ids."""
        return conversation_ids(tokenizer, self.system, self.prompt, self.earlier)


def conversation_ids(
    tokenizer: Any, system: str | None, prompt: str, earlier: Sequence[Turn] = ()
) -> list[int]:
    """Token ids of the conversation up to where the answer begins.

    The system message is always explicit (empty when None): the chat template would otherwise put
    in its own. Where a template has no system role, the system prompt begins the user's message.

    What looks like a special token in a prompt is text: nobody opens a turn by writing
    `<|im_start|>`.

    Raises:
        ModelSourceError: there is no chat template, or it can't be rendered.
    """

    def rendered(first: str, *others: str) -> str:
        *between, last = others
        turns = [Turn(t.role, text) for t, text in zip(earlier, between, strict=True)]
        return _rendered(tokenizer, first, last, earlier=turns)

    texts = (system or "", *(turn.text for turn in earlier), prompt)
    return filled_ids(tokenizer, rendered, texts)


def filled_ids(tokenizer: Any, rendered: Callable[..., str], texts: Sequence[str]) -> list[int]:
    """Token ids of a template filled with texts; special tokens only where the template has them.

    Args:
        tokenizer: of the model.
        rendered: the filled template, from as many texts as there are.
        texts: to fill in; what looks like a special token in them is text.
    """
    special = [str(t) for t in getattr(tokenizer, "added_tokens_decoder", {}).values()]
    if not any(token in text for token in special for text in texts):
        return list(tokenizer(rendered(*texts), add_special_tokens=False)["input_ids"])
    contents = {f"palm-{i}-text": text for i, text in enumerate(texts)}
    ids: list[int] = []
    for part in re.split(f"({'|'.join(contents)})", rendered(*contents)):
        text = contents.get(part, part)
        options = {"split_special_tokens": True} if part in contents else {}
        ids += tokenizer(text, add_special_tokens=False, **options)["input_ids"]
    return ids


def conversation_text(tokenizer: Any, system: str | None, prompt: str) -> str:
    """The conversation of `conversation_ids` as text."""
    return _rendered(tokenizer, system or "", prompt)


def turn_end_id(tokenizer: Any) -> int | None:
    """The special token that ends an answer in the chat template; None where it has none.

    Not always the tokenizer's end token: Gemma's template has `<end_of_turn>`, its tokenizer
    `<eos>`.
    """
    rest = _rendered(tokenizer, "", "a", ANSWER).rpartition(ANSWER)[2]
    ids = list(tokenizer(rest, add_special_tokens=False)["input_ids"]) if rest else []
    special = getattr(tokenizer, "all_special_ids", ())
    return int(ids[0]) if ids and ids[0] in special else None


def _rendered(
    tokenizer: Any,
    system: str,
    prompt: str,
    answer: str | None = None,
    earlier: Sequence[Turn] = (),
) -> str:
    if getattr(tokenizer, "chat_template", "") is None:
        raise ModelSourceError(
            "the model has no chat template, so it isn't known how a question is put to it; choose"
            " an instruction-tuned model, or give a template (template.text in the configuration)"
        )
    turns = [*earlier, Turn("user", prompt)]
    turns += [] if answer is None else [Turn("assistant", answer)]
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    separate = [{"role": "system", "content": system}, *messages]
    begun = {**messages[0], "content": f"{system}\n\n{messages[0]['content']}"}
    joined = [begun, *messages[1:]] if system else messages
    try:
        return apply_template(tokenizer, separate, answer is None)
    except ModelSourceError:
        return apply_template(tokenizer, joined, answer is None)


def exchange_ids(tokenizer: Any, prompt: str, answer: str) -> list[int]:
    """Token ids of a question and its answer in the chat template, with no system message.

    Raises:
        ModelSourceError: the template can't be rendered.
    """

    def rendered(prompt: str, answer: str) -> str:
        messages = [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": answer},
        ]
        return apply_template(tokenizer, messages, False)

    return filled_ids(tokenizer, rendered, (prompt, answer))


class Batch(NamedTuple):
    """Token sequences of different length as one batch, padded on the left.

    Tensors of shape (rows, longest).
    """

    input_ids: Any
    mask: Any
    positions: Any


def left_padded(model: Any, tokenizer: Any, requests: Sequence[Request]) -> Batch:
    """The requests' conversations on the model's device, each up to where its answer begins."""
    return padded(model, tokenizer, [r.ids(tokenizer) for r in requests])


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
