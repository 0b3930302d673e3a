"""Fits a linear probe on labelled examples (`palm rewards fit`).

Folds are grouped by topic; the policies' own outputs are a second, harder test.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from palm_engine._csv import read_cells
from palm_engine._files import write_whole
from palm_engine.errors import DependencyError, InvalidInputError
from palm_engine.rewards.embedding import embed
from palm_engine.rewards.probe import probe_features

INVERSE_REGULARISATION = 3.0
FOLDS = 10
FEWEST_TOPICS = 5


def fit_probe(
    labelled: Path,
    trait: str,
    target: Path,
    features: tuple[str, ...] = ("answer",),
    outputs: Path | None = None,
    meaning: str = "",
) -> dict[str, Any]:
    """Fit one probe of one's own on labelled examples and write it to a file.

    Args:
        labelled: a CSV with columns topic, prompt, answer and the trait's, which holds 0 and 1;
            folds are grouped by topic.
        trait: the column.
        target: the probe's file (.json).
        features: what the probe looks at: answer, prompt, product.
        outputs: a CSV of answers of the policies to be scored, with the same columns but topic: a
            second and harder test.
        meaning: what 1 means, in words, for the card.

    Returns:
        The card: what it was fitted on, and how well it tells labels apart.

    Raises:
        InvalidInputError: a table can't be used; names file and column.
        DependencyError: the extra 'lm' isn't installed.
    """
    wrong = sorted(set(features) - {"answer", "prompt", "product"})
    if wrong or not features:
        raise InvalidInputError(
            f"features {', '.join(wrong) or 'empty'}: choose of answer, prompt, product"
        )
    examples = _read(labelled, ["topic"], [trait])
    x = _features(examples, features)
    y = examples[trait].to_numpy()
    model = _logistic(x, y)
    card: dict[str, Any] = {
        "trait": trait,
        "meaning": meaning,
        "data": labelled.name,
        "examples": len(y),
        "positives": int(y.sum()),
        "topics": int(examples["topic"].nunique()),
        "auroc_cross_validated": _grouped_auroc(x, y, examples["topic"].to_numpy()),
    }
    if outputs is not None:
        own = _read(outputs, [], [trait])
        scores = model.predict_proba(_features(own, features))[:, 1]
        card |= {
            "model_outputs": len(own),
            "model_outputs_positive": int(own[trait].sum()),
            "auroc_model_outputs": _auroc(own[trait].to_numpy(), scores),
        }
    _write(target, features, model, card)
    return card


def _features(frame: pd.DataFrame, features: tuple[str, ...]) -> NDArray[np.float32]:
    prompts = None if set(features) == {"answer"} else embed(list(frame["prompt"]))
    return probe_features(features, prompts, embed(list(frame["answer"])))


def _read(path: Path, extra: list[str], traits: Sequence[str]) -> pd.DataFrame:
    try:
        frame = read_cells(path)
    except ValueError as error:
        raise InvalidInputError(f"{path}: can't be read as a table: {error}") from error
    for column in [*extra, "prompt", "answer", *traits]:
        if column not in frame:
            raise InvalidInputError(f"{path}: column {column!r} is missing")
    for trait in traits:
        frame[trait] = pd.to_numeric(frame[trait], errors="coerce")
        if not frame[trait].isin([0, 1]).all():
            raise InvalidInputError(f"{path}: column {trait!r} must hold 0 and 1 only")
        if frame[trait].nunique() < 2:
            raise InvalidInputError(f"{path}: column {trait!r} holds only one of 0 and 1")
    if "topic" in extra and frame["topic"].nunique() < FEWEST_TOPICS:
        raise InvalidInputError(f"{path}: at least {FEWEST_TOPICS} topics are needed, for folds")
    return frame


def _logistic(x: NDArray[np.float32], y: NDArray[np.int64]) -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise DependencyError(
            "fitting probes needs the extra 'lm': pip install -e '.[lm]'"
        ) from error
    return LogisticRegression(C=INVERSE_REGULARISATION, class_weight="balanced", max_iter=5000).fit(
        x, y
    )


def _grouped_auroc(x: NDArray[np.float32], y: NDArray[np.int64], topics: NDArray[Any]) -> float:
    from sklearn.model_selection import GroupKFold

    folds = min(FOLDS, len(set(topics)))
    scores = np.zeros(len(y))
    for train, test in GroupKFold(folds, shuffle=True, random_state=0).split(x, y, topics):
        scores[test] = _logistic(x[train], y[train]).predict_proba(x[test])[:, 1]
    return _auroc(y, scores)


def _auroc(y: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    return round(float(roc_auc_score(y, scores)), 3)


def _write(path: Path, features: tuple[str, ...], model: Any, card: dict[str, Any]) -> None:
    content = {
        "features": features,
        "intercept": round(float(model.intercept_[0]), 6),
        "coefficients": [round(float(c), 5) for c in model.coef_[0]],
        "card": card,
    }
    write_whole(path, json.dumps(content) + "\n")
