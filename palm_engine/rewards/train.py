"""Trains a reward model on labelled answers and says how well it does on answers it never saw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from palm_engine._csv import read_cells
from palm_engine._files import check_writable
from palm_engine._types import Floats, Progress, no_progress
from palm_engine.errors import InvalidInputError
from palm_engine.lm.checkpoint import Checkpoint, Stages, training_key
from palm_engine.lm.reward_model import (
    RewardModel,
    RewardModelSettings,
    body_fingerprint,
    save_reward_model,
    train_further,
    train_reward_model,
)
from palm_engine.rewards.embedding import embed

# Hard mismatches of a round: answers, other prompts that each is put to, the share that is kept.
HARD_ANSWERS = 2_500
HARD_TRIES = 6
HARD_SHARE = 0.1
# Of the learning rate.
HARD_PACE = 0.5
# Cosine of two prompts from which on an answer to one may answer the other.
RESEMBLES = 0.35
CHUNK = 1024


def train_model(
    labelled: Sequence[Path],
    heads: dict[str, float],
    target: Path,
    settings: RewardModelSettings,
    tests: dict[str, Path] | None = None,
    meanings: dict[str, str] | None = None,
    relevance: str | None = None,
    mismatches: int = 1,
    hard_rounds: int = 0,
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
        hard_rounds: after the training, how often those answers to other prompts that it pays most
            for `relevance` are trained on as examples without it.
        progress: gets the share done and a sentence.

    Returns:
        The card, as it is kept beside the weights.

    Raises:
        InvalidInputError: a table can't be used; names file, column and row. Or the target is
            something else than a reward model.
        ModelSourceError: the base can't be had.
        DependencyError: the extra 'lm' isn't installed.
    """
    check_model_target(target)
    tables = [_read(path, heads) for path in labelled]
    _require_labels(labelled, tables, heads)
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
    parts = (settings, body_fingerprint(settings), names, relevance, mismatches, hard_rounds)
    stages = Stages(Checkpoint(target, training_key(*parts, train.to_csv(index=False))))
    first = 0.9 if hard_rounds == 0 else 0.6
    model = train_reward_model(
        settings,
        list(train["prompt"]),
        list(train["answer"]),
        train[names].to_numpy(dtype=float),
        _part_of(progress, 0.0, first),
        stages,
    )
    if relevance is not None and hard_rounds:
        card["hard mismatches"] = train_against(
            model,
            train,
            names,
            relevance,
            hard_rounds,
            _part_of(progress, first, 0.9 - first),
            stages,
        )
    for i, (name, table) in enumerate(held.items()):
        progress(0.9 + 0.1 * i / len(held), f"Testing on {name}")
        card |= tested(model, name, table, names)
    save_reward_model(model, target, card)
    stages.checkpoint.clear()
    return card


def _require_labels(
    files: Sequence[Path], tables: Sequence[pd.DataFrame], heads: Iterable[str]
) -> None:
    """Check that there is something to learn.

    Raises:
        InvalidInputError: there are no rows, or a label is nowhere given.
    """
    named = ", ".join(map(str, files))
    if not sum(map(len, tables)):
        raise InvalidInputError(f"{named}: no rows, so there is nothing to learn from")
    for head in heads:
        if all(table[head].isna().all() for table in tables):
            raise InvalidInputError(
                f"{named}, column {head}: every cell is empty; label some answers, or leave the"
                " head out"
            )


def check_model_target(target: Path) -> None:
    """Check that a reward model written there would replace nothing but another one.

    Raises:
        InvalidInputError: it would.
        OSError: nothing can be written there.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InvalidInputError(f"{target}: is a file or a link; choose a new folder")
    if target.exists() and any(target.iterdir()) and not (target / "card.json").is_file():
        raise InvalidInputError(
            f"{target}: is there already and holds no reward model; choose a new folder"
        )
    check_writable(target)


def tested(
    model: RewardModel, name: str, table: pd.DataFrame, heads: Sequence[str]
) -> dict[str, Any]:
    """What a card says of a reward model on answers that it wasn't trained on.

    Args:
        model: to ask.
        name: of the table.
        table: columns prompt, answer and the labels', in [0, 1].
        heads: the labels.
    """
    scores = model.scores(list(table["prompt"]), list(table["answer"]))
    found = _aurocs(table[list(heads)].to_numpy(dtype=float), scores, heads)
    return {f"answers of {name}": len(table)} | {
        f"AUROC of {head} on {name}": value for head, value in found.items()
    }


def train_against(
    model: RewardModel,
    examples: pd.DataFrame,
    heads: Sequence[str],
    relevance: str,
    rounds: int,
    progress: Progress = no_progress,
    stages: Stages | None = None,
) -> int:
    """Train a reward model on against answers that it takes for relevant anywhere, in place.

    What a policy learns to say whatever it is asked is no random answer to another prompt: of
    many, those that the model itself pays most are kept, round by round, and trained on beside as
    many of the examples (hard negatives: Xiong et al. 2021, arXiv 2007.00808).

    Args:
        model: trained on `examples`.
        examples: columns prompt, answer and the labels'.
        heads: the labels.
        relevance: the one that says whether an answer belongs to its prompt.
        rounds: how often, at least 1.
        progress: gets the share done and a sentence.
        stages: where it is kept, after the training before it; None: nowhere.

    Returns:
        How many such pairs were trained on.
    """
    seed = model.settings.seed
    found = pd.DataFrame()
    for number in range(rounds):
        start, width = number / rounds, 1 / rounds
        if stages is not None:
            stages.number = number + 1
            if stages.is_over:
                continue
        if stages is not None and stages.goes_on:
            found = pd.DataFrame(stages.held, columns=["prompt", "answer"])
            found[relevance] = 0.0
        else:
            rng = np.random.default_rng((seed, number))
            mining = _part_of(progress, start, 0.4 * width)
            hardest = hard_mismatches(model, examples, relevance, rng, mining)
            found = pd.concat([found, hardest], ignore_index=True)
        if stages is not None:
            stages.beside = found[["prompt", "answer"]].to_numpy().tolist()
        beside = examples.sample(min(len(found), len(examples)), random_state=seed + number)
        mixed = pd.concat([found, beside], ignore_index=True).reindex(
            columns=["prompt", "answer", *heads]
        )
        train_further(
            model,
            list(mixed["prompt"]),
            list(mixed["answer"]),
            mixed[list(heads)].to_numpy(dtype=float),
            1,
            HARD_PACE,
            seed + number,
            _part_of(progress, start + 0.4 * width, 0.6 * width),
            stages,
        )
    return len(found)


def _part_of(progress: Progress, start: float, width: float) -> Progress:
    return lambda share, note: progress(start + width * share, note)


def hard_mismatches(
    model: RewardModel,
    examples: pd.DataFrame,
    relevance: str,
    rng: np.random.Generator,
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """Answers put to other prompts, those with the most `relevance`; labelled as having none.

    Prompts that resemble an answer's own are left out: it may well answer them.

    Args:
        model: to ask.
        examples: columns prompt and answer.
        relevance: one of its heads.
        rng: draws answers and prompts.
        progress: gets the share done and a sentence.
    """
    answers = examples.drop_duplicates("answer")
    answers = answers.sample(min(HARD_ANSWERS, len(answers)), random_state=int(rng.integers(2**31)))
    prompts = np.array(list(dict.fromkeys(examples["prompt"])))
    near = embed(list(answers["prompt"])) @ embed(list(prompts)).T
    pairs = []
    for row, answer in enumerate(answers["answer"]):
        far = np.flatnonzero(near[row] < RESEMBLES)
        for at in rng.choice(far, min(HARD_TRIES, len(far)), replace=False):
            pairs.append((prompts[at], answer))
    scores = np.zeros(len(pairs))
    head = model.settings.heads.index(relevance)
    for start in range(0, len(pairs), CHUNK):
        asked, given = zip(*pairs[start : start + CHUNK], strict=True)
        scores[start : start + CHUNK] = model.scores(asked, given)[:, head]
        progress(start / len(pairs), "looking for answers that suit any prompt")
    hardest = np.argsort(-scores, kind="stable")[: max(1, int(HARD_SHARE * len(pairs)))]
    kept = pd.DataFrame([pairs[i] for i in hardest], columns=["prompt", "answer"])
    return kept.assign(**{relevance: 0.0})


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
