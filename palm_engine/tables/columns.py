"""Which column of a table is what: policies, prompts, answers, costs, scores.

Recognised by name and content; a guess that people see and can change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from palm_engine.tables.numbers import Decimal, numbers_of

_NAMES: dict[str, tuple[str, ...]] = {
    "policy": (
        "policy",
        "policy_name",
        "model",
        "model_name",
        "model_id",
        "system",
        "generator",
        "agent",
        "checkpoint",
        "method",
        "name",
        "unnamed_0",
        "",
    ),
    "prompt": (
        "prompt_id",
        "prompt",
        "question_id",
        "question",
        "instance_id",
        "example_id",
        "item_id",
        "query",
        "instruction",
        "input",
        "task_id",
        "item",
    ),
    "prompt_text": ("prompt_text", "prompt", "question", "instruction", "query", "input"),
    "text": ("text", "answer", "output", "response", "completion", "generation", "reply"),
    "sample": ("sample_id", "sample", "trial", "repeat", "generation_id", "turn"),
    "cluster": ("cluster", "cluster_id", "prompt_cluster"),
    "cost": ("cost", "kl_cost"),
    "tokens": ("tokens", "n_tokens", "num_tokens", "output_tokens", "completion_tokens"),
}
# Numbers that describe other numbers, or rows: never a trait unless somebody says so.
_NO_TRAIT = re.compile(
    r"(?:^|_)(?:stderr|standard_error|std|se|sem|ci|lower|upper|rank|n|n_total|total|count|num|index|idx|id|seed|"
    r"unnamed|date|year|version|size|params|parameters|turn|tstamp|timestamp)(?:_|$|\d)"
    r"|(?:^|_)(?:steps?|epochs?|votes)$|^no$"
)
MOST_TRAITS = 8
_SURE = ("policy", "policy_name", "model", "model_name", "model_id")


@dataclass(frozen=True)
class Columns:
    """What each column is; None where the table has none of a kind.

    Attributes:
        policy: names of the policies.
        prompt: of the prompt, by which rows are grouped.
        prompt_text: the prompt's words.
        text: answers.
        sample: number of the answer to a prompt.
        cluster: which prompts resemble each other: bounds count them as one.
        cost: in reward units, taken off the value.
        tokens: length of the answer.
        numeric: all others that hold numbers.
        suggested: those of them that look like traits.
    """

    policy: str | None
    prompt: str | None
    prompt_text: str | None
    text: str | None
    sample: str | None
    cluster: str | None
    cost: str | None
    tokens: str | None
    numeric: tuple[str, ...]
    suggested: tuple[str, ...]


def recognise(frame: pd.DataFrame, decimal: Decimal = "auto") -> Columns:
    """Guess what the columns of a table are.

    Args:
        frame: the table.
        decimal: see `numbers.numbers_of`.
    """
    plain = {_plain(c): c for c in reversed(frame.columns)}
    numeric = [str(c) for c in frame.columns if _is_numeric(frame[c], decimal)]

    def named(kind: str, taken: set[str | None], numbers: bool | None = None) -> str | None:
        for name in _NAMES[kind]:
            column = plain.get(name)
            if column is None or column in taken:
                continue
            if numbers is None or (column in numeric) == numbers:
                return column
        return None

    taken: set[str | None] = set()
    policy = named("policy", taken, False) or _first_text(frame, numeric)
    if policy is None:
        # Models may be called 1, 2 and 3, where their column says that it names models.
        policy = next((plain[n] for n in _SURE if n in plain), None)
    taken.add(policy)
    prompt = named("prompt", taken)
    # A column `text` beside policies alone is no answer to anything.
    text = named("text", taken | {prompt}, False) if prompt else None
    prompt_text = named("prompt_text", taken | {text}, False) if prompt else None
    taken |= {prompt, text, prompt_text}
    sample = named("sample", taken)
    cluster = named("cluster", taken) if prompt else None
    cost = named("cost", taken, True)
    if cost is None and "cost" not in taken:
        # Taken by its name: a cost that can't be read must not be left out in silence.
        cost = plain.get("cost")
    elif cost is not None and _plain(cost) == "cost" and _most(frame[cost], decimal) > 1:
        cost = None  # money or time, not reward: a trait of which less is better
    tokens = named("tokens", taken, True) if prompt else None
    taken |= {sample, cluster, cost, tokens}
    left = tuple(c for c in numeric if c not in taken)
    suggested = tuple(c for c in left if _looks_like_a_trait(c, frame[c], decimal))
    return Columns(
        policy, prompt, prompt_text, text, sample, cluster, cost, tokens, left, suggested
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", str(name).strip().lower()).strip("_")


def _most(cells: pd.Series, decimal: Decimal) -> float:
    """The largest number of a column."""
    return float(np.nanmax(numbers_of(cells, decimal).values))


def _is_numeric(cells: pd.Series, decimal: Decimal) -> bool:
    some = cells.iloc[np.unique(np.linspace(0, len(cells) - 1, min(len(cells), 2000)).astype(int))]
    read = numbers_of(some, decimal)
    there = ~read.missing
    return bool(there.any()) and bool(read.wrong[there].mean() <= 0.1)


def _first_text(frame: pd.DataFrame, numeric: list[str]) -> str | None:
    """The first column of short, mostly distinct words: a leaderboard's models."""
    for column in frame.columns:
        if column in numeric:
            continue
        words = frame[column].astype(str)
        if words.nunique() > 0.9 * len(words) and words.str.len().max() <= 120:
            return str(column)
    return None


def _looks_like_a_trait(name: str, cells: pd.Series, decimal: Decimal) -> bool:
    if _NO_TRAIT.search(_plain(name)):
        return False
    values = numbers_of(cells, decimal).values
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    # A constant tells nothing, and outside of [0, 1] it can't be scaled.
    return least < most or 0 <= least <= 1
