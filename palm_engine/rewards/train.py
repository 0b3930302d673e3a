"""Trains a reward model on labelled answers and says how well it does on answers it never saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from palm_engine._csv import read_cells
from palm_engine._files import write_whole
from palm_engine._types import Floats, Progress, no_progress
from palm_engine.errors import InvalidInputError
from palm_engine.lm.reward_model import CARD_FILE, RewardModelSettings, train_reward_model


def train_model(
    labelled: Sequence[Path],
    heads: dict[str, float],
    target: Path,
    settings: RewardModelSettings,
    tests: dict[str, Path] | None = None,
    meanings: dict[str, str] | None = None,
    relevance: str | None = None,
    mismatches: int = 1,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Train a reward model on tables of labelled answers.

    Args:
        labelled: CSVs with columns prompt, answer and the labels'; an empty cell is no label.
        heads: the largest value of each label; labels are divided by it.
        target: the reward model's folder.
        settings: of the training; its heads are those of `heads`.
        tests: CSVs of answers that are not trained on, by name: the card says how well the model
            tells their labels apart.
        meanings: what each label means, in words, for the card.
        relevance: the label that says whether an answer belongs to its prompt: answers to other
            prompts, the prompt repeated and random words are added as examples that have none of
            it. Without them a judge learns what good answers look like, and never reads the prompt.
        mismatches: other prompts that each answer is put to, for `relevance`.
        progress: gets the share done and a sentence.

    Returns:
        The card, as it is kept beside the weights.

    Raises:
        InvalidInputError: a table can't be used; names file, column and row.
        ModelSourceError: the base can't be had.
        DependencyError: the extra 'lm' isn't installed.
    """
    tables = [_read(path, heads) for path in labelled]
    held = {name: _read(path, heads) for name, path in (tests or {}).items()}
    train = pd.concat(tables, ignore_index=True)
    seen = set(zip(train["prompt"], train["answer"], strict=True))
    for name, table in held.items():
        if any(pair in seen for pair in zip(table["prompt"], table["answer"], strict=True)):
            raise InvalidInputError(f"test {name!r}: holds answers that are trained on")
    if relevance is not None:
        added = mismatched(train, relevance, settings.seed, mismatches)
        train = pd.concat([train, added], ignore_index=True)
    card: dict[str, Any] = {
        "data": ", ".join(p.name for p in labelled),
        "examples": len(train),
        "prompts": int(train["prompt"].nunique()),
        **{f"meaning of {h}": m for h, m in (meanings or {}).items()},
    }
    names = list(heads)
    model = train_reward_model(
        settings,
        list(train["prompt"]),
        list(train["answer"]),
        train[names].to_numpy(dtype=float),
        target,
        card,
        lambda share, note: progress(0.9 * share, note),
    )
    for i, (name, table) in enumerate(held.items()):
        progress(0.9 + 0.1 * i / len(held), f"Testing on {name}")
        scores = model.scores(list(table["prompt"]), list(table["answer"]))
        card[f"answers of {name}"] = len(table)
        card |= {
            f"AUROC of {head} on {name}": auroc
            for head, auroc in _aurocs(table[names].to_numpy(dtype=float), scores, names).items()
        }
    _keep_card(target, card)
    return card


def mismatched(examples: pd.DataFrame, label: str, seed: int, times: int = 1) -> pd.DataFrame:
    """Pairs that don't belong together, with `label` 0 and no other label.

    Every answer to `times` other prompts; a tenth as many as examples each of prompts repeated,
    before an answer to another one or alone, and of words drawn from the answers.

    Args:
        examples: columns prompt and answer.
        label: of relevance.
        seed: of the draws.
        times: other prompts per answer, at least 1.

    Raises:
        InvalidInputError: there is one prompt only.
    """
    rng = np.random.default_rng(seed)
    prompts = examples["prompt"].to_numpy()
    if examples["prompt"].nunique() < 2:
        raise InvalidInputError("relevance needs answers to at least two prompts")
    answers = examples["answer"].to_numpy()
    pairs = []
    for _ in range(times):
        other = rng.permutation(prompts)
        while (same := other == prompts).any():
            other[same] = rng.choice(prompts, int(same.sum()))
        pairs += list(zip(other, answers, strict=True))
    words = " ".join(answers).split()
    few = rng.choice(len(examples), max(1, len(examples) // 10), replace=False)
    pairs += [(other[i], f"{other[i]} {answers[i]}") for i in few]
    pairs += [(prompts[i], str(prompts[i])) for i in few]
    lengths = rng.integers(1, 40, len(few))
    pairs += [
        (prompts[i], " ".join(rng.choice(words, n))) for i, n in zip(few, lengths, strict=True)
    ]
    return pd.DataFrame(pairs, columns=["prompt", "answer"]).assign(**{label: 0.0})


def _read(path: Path, heads: dict[str, float]) -> pd.DataFrame:
    try:
        frame = read_cells(path)
    except ValueError as error:
        raise InvalidInputError(f"{path}: can't be read as a table: {error}") from error
    for column in ("prompt", "answer", *heads):
        if column not in frame:
            raise InvalidInputError(f"{path}: column {column!r} is missing")
    frame[["prompt", "answer"]] = frame[["prompt", "answer"]].astype(str)
    for head, most in heads.items():
        cells = frame[head].replace("", np.nan)
        numbers = pd.to_numeric(cells, errors="coerce")
        bad = (cells.notna() & ~numbers.between(0, most)).to_numpy()
        if bad.any():
            row = int(bad.argmax())
            raise InvalidInputError(
                f"{path}, row {row + 2}, column {head}: {frame[head].iloc[row]!s} is no number from"
                f" 0 to {most:g}"
            )
        frame[head] = numbers / most
    return frame


def _aurocs(labels: Floats, scores: Floats, heads: Sequence[str]) -> dict[str, float]:
    """How well each head tells some (any above 0) from none, where both occur."""
    from sklearn.metrics import roc_auc_score

    found = {}
    for i, head in enumerate(heads):
        known = ~np.isnan(labels[:, i])
        some = labels[known, i] > 0
        if 0 < some.sum() < len(some):
            found[head] = round(float(roc_auc_score(some, scores[known, i])), 3)
    return found


def _keep_card(folder: Path, card: dict[str, Any]) -> None:
    path = folder / CARD_FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    write_whole(path, json.dumps(content | {"card": card}, indent=1) + "\n")
