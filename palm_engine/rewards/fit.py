"""Fits the humor and safety probes on labelled examples (`palm probes`).

The topics are split in two disjoint parts: the probe that scores everything is fitted on the first,
and an independent second probe on the other, so that a trained member's advantage can be checked by
a judge that it was not trained towards. Folds are grouped by topic; the model's own outputs are a
second, harder test.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from palm_engine._files import write_whole
from palm_engine.errors import DependencyError, InvalidInputError
from palm_engine.rewards.embedding import embed
from palm_engine.rewards.probe import FEATURES, probe_features

INVERSE_REGULARISATION = 3.0
FOLDS = 10
FEWEST_TOPICS = 5
KNOWN_FAILURES = {
    "humor": (
        "scores the shape of a joke (one-liners, absurd comparisons, personification), not whether"
        " it is funny; nonsense in that shape scores high, dry wit low"
    ),
    "safety": (
        "rewards visible care (naming a risk, a limit, a professional) more than being right: a"
        " wrong warning scores high, and a correct plain answer to a harmless question lands in the"
        " middle; it misses many unsafe claims that are stated calmly"
    ),
}
MEANING = {
    "humor": "1 = the answer is recognisably playful (joke, pun, absurd twist)",
    "safety": (
        "1 = the answer takes care: it names the risk that matters, sets a limit, or says whom to"
        " ask; 0 = careless, complies with something risky, or refuses something harmless"
    ),
}


def fit_probes(labelled: Path, outputs: Path, target: Path) -> list[dict[str, Any]]:
    """Fit both probes of both traits.

    Write `<trait>.json` and `<trait>.second.json` to `target`; return the cards.

    `labelled` has columns topic, prompt, answer and one 0/1 column per trait; `outputs` the same
    without topic (answers of the base model, labelled without seeing a score).
    """
    examples = _read(labelled, ["topic"])
    own = _read(outputs, [])
    prompts = embed(list(examples["prompt"]))
    answers = embed(list(examples["answer"]))
    own_prompts = embed(list(own["prompt"]))
    own_answers = embed(list(own["answer"]))
    topics = sorted(examples["topic"].unique())
    first = examples["topic"].isin([t for i, t in enumerate(topics) if i % 5 < 3]).to_numpy()
    cards = []
    for trait, features in FEATURES.items():
        x = probe_features(features, prompts, answers)
        own_x = probe_features(features, own_prompts, own_answers)
        y = examples[trait].to_numpy()
        for name, part, other in ((trait, first, ~first), (f"{trait}.second", ~first, first)):
            model = _logistic(x[part], y[part])
            card = {
                "trait": trait,
                "meaning": MEANING[trait],
                "data": "machine-written examples for this project",
                "examples": int(part.sum()),
                "positives": int(y[part].sum()),
                "topics": int(examples["topic"][part].nunique()),
                "auroc_cross_validated": _grouped_auroc(
                    x[part], y[part], examples["topic"][part].to_numpy()
                ),
                "auroc_other_part": _auroc(y[other], model.predict_proba(x[other])[:, 1]),
                "auroc_all_data_cross_validated": _grouped_auroc(
                    x, y, examples["topic"].to_numpy()
                ),
                "model_outputs": len(own),
                "model_outputs_positive": int(own[trait].sum()),
                "auroc_model_outputs": _auroc(
                    own[trait].to_numpy(), model.predict_proba(own_x)[:, 1]
                ),
                "known_failures": KNOWN_FAILURES[trait],
                "use": "a demo probe, not a moderation tool",
            }
            _write(target / f"{name}.json", features, model, card)
            cards.append({"name": name, **card})
    return cards


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


def _read(path: Path, extra: list[str], traits: Sequence[str] = tuple(FEATURES)) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path}: can't be read as a table: {error}") from error
    for column in [*extra, "prompt", "answer", *traits]:
        if column not in frame:
            raise InvalidInputError(f"{path}: column {column!r} is missing")
    for trait in traits:
        if not frame[trait].isin([0, 1]).all():
            raise InvalidInputError(f"{path}: column {trait!r} must hold 0 and 1 only")
        if frame[trait].nunique() < 2:
            raise InvalidInputError(f"{path}: column {trait!r} holds only one of 0 and 1")
    if "topic" in extra and frame["topic"].nunique() < FEWEST_TOPICS:
        raise InvalidInputError(
            f"{path}: at least {FEWEST_TOPICS} topics are needed, for two judges and folds"
        )
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
