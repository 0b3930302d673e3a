"""Prompts as rows, policies as columns: what each recorded answer is worth at some weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from palm_engine._types import Floats
from palm_engine.geometry.envelope import TIE


@dataclass(frozen=True)
class AnswerMatrix:
    """Values of recorded answers.

    Attributes:
        prompt_ids: m of them.
        policies: k of them.
        values: mean value of a policy's answers to a prompt, without KL cost; NaN where it gave
            none, shape (m, k).
    """

    prompt_ids: tuple[str, ...]
    policies: tuple[str, ...]
    values: Floats

    @property
    def spread(self) -> Floats:
        """How far the policies' values lie apart, by prompt; 0 where fewer than two answered."""
        known = ~np.isnan(self.values)
        high = np.where(known, self.values, -np.inf).max(axis=1)
        low = np.where(known, self.values, np.inf).min(axis=1)
        return np.where(known.sum(axis=1) > 1, high - low, 0.0)

    @property
    def wins(self) -> Floats:
        """Share of the prompts where each policy's answer is best, ties shared; sums to 1."""
        known = ~np.isnan(self.values)
        best = np.where(known, self.values, -np.inf).max(axis=1, keepdims=True)
        won = known & (self.values >= best - TIE)
        answered = won.any(axis=1)
        if not answered.any():
            return np.zeros(len(self.policies))
        shares = won[answered] / won[answered].sum(axis=1, keepdims=True)
        return np.asarray(shares.mean(axis=0))


def answer_matrix(
    samples: pd.DataFrame,
    prompt_ids: Sequence[str],
    policies: Sequence[str],
    w: Floats,
    traits: Sequence[str],
) -> AnswerMatrix:
    """What recorded answers are worth at some weights.

    Args:
        samples: policy, prompt_id and one score column per trait.
        prompt_ids: rows, in this order.
        policies: columns, in this order.
        w: weights, shape (d,).
        traits: names of the d traits.
    """
    rows = samples[samples["policy"].isin(list(policies))]
    value = rows[list(traits)].to_numpy(dtype=float) @ np.asarray(w, dtype=float)
    frame = pd.DataFrame(
        {
            "prompt_id": rows["prompt_id"].astype(str),
            "policy": rows["policy"].astype(str),
            "value": value,
        }
    )
    means = frame.groupby(["prompt_id", "policy"])["value"].mean().unstack()
    table = means.reindex(index=list(prompt_ids), columns=list(policies))
    return AnswerMatrix(tuple(prompt_ids), tuple(policies), table.to_numpy(dtype=float))
