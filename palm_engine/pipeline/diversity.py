"""How differently members answer.

Embedding distance and Vendi score of their answers to the same prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from palm_engine._types import Floats


def mean_distance(vectors: Floats) -> float:
    """Mean pairwise 1 - cosine of k unit vectors a prompt, shape (prompts, k, e); 0 for k = 1."""
    upper = np.triu_indices(vectors.shape[1], 1)
    if not len(upper[0]):
        return 0.0
    return float(np.clip(1 - _cosine(vectors)[:, upper[0], upper[1]], 0, 2).mean())


def vendi_score(vectors: Floats) -> float:
    """Mean over prompts of the Vendi score of k unit vectors, shape (prompts, k, e).

    1 (all alike) to k (all apart).

    exp of the entropy of the eigenvalues of the cosine matrix over k (Friedman and Dieng 2023,
    arXiv 2210.02410).
    """
    eigenvalues = np.clip(np.linalg.eigvalsh(_cosine(vectors) / vectors.shape[1]), 0, None)
    eigenvalues /= eigenvalues.sum(axis=1, keepdims=True)
    logs = np.log(eigenvalues, where=eigenvalues > 0, out=np.zeros_like(eigenvalues))
    return float(np.exp(-(eigenvalues * logs).sum(axis=1)).mean())


def _cosine(vectors: Floats) -> Floats:
    return np.asarray(np.einsum("pie,pje->pij", vectors, vectors))


def answer_diversity(
    samples: pd.DataFrame, prompt_ids: Sequence[str], portfolios: Mapping[str, Sequence[str]]
) -> dict[str, tuple[float, float]]:
    """Diversity of portfolios, from first answers to prompts.

    Args:
        samples: recorded answers.
        prompt_ids: prompts to compare on.
        portfolios: names of the members, by portfolio.

    Returns:
        Mean distance (1 - cosine) and Vendi score, by portfolio.
    """
    from palm_engine.rewards.embedding import embed

    needed = sorted({p for members in portfolios.values() for p in members})
    rows = samples[
        samples["policy"].isin(needed)
        & samples["prompt_id"].isin(list(prompt_ids))
        & (samples["sample_id"] == 0)
    ].sort_values(["prompt_id", "policy"])
    vectors = np.asarray(embed(list(rows["text"])), dtype=float).reshape(
        len(set(prompt_ids)), len(needed), -1
    )
    place = {p: i for i, p in enumerate(needed)}
    found = {}
    for name, members in portfolios.items():
        chosen = vectors[:, [place[m] for m in members]]
        found[name] = (mean_distance(chosen), vendi_score(chosen))
    return found
