"""Stage 1 and the drawing half of stage 5.

Answers of policies to prompts, one resumable file per policy.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from palm_engine._csv import read_cells
from palm_engine._json import reason
from palm_engine.bundle.names import is_name
from palm_engine.errors import ConfigError
from palm_engine.lm.generation.conversation import Request
from palm_engine.lm.generation.sampling import Mixture, sample_answers
from palm_engine.lm.settings import SamplingSettings, TemplateSettings
from palm_engine.pipeline.engines.worker import loaded_base, report_progress
from palm_engine.pipeline.store import key_of

ANSWER_COLUMNS = ["policy", "prompt_id", "sample_id", "text", "tokens"]
# How a server says that an answer ended (stop, length, content_filter); "" where none was asked.
FINISH = "finish_reason"
SPLITS = ("train", "choose", "certify")


@dataclass(frozen=True)
class DrawTask:
    """What one process draws: `samples` answers of one policy to each prompt."""

    base: str
    template: TemplateSettings | None
    policy: str
    system: str | None
    adapter: Path | None
    prompts: tuple[tuple[str, str], ...]
    samples: int
    settings: SamplingSettings
    seed: int
    batch_size: int

    @property
    def count(self) -> int:
        """How many answers it draws."""
        return len(self.prompts) * self.samples


def draw_key(task: DrawTask, model_key: list[str]) -> str:
    """What a task's answers depend on: the task, the content of its adapter, and the model."""
    from palm_engine.lm.adapters.files import adapter_sha256

    # The model is known by its content, wherever it lies.
    # How many are drawn at once changes no answer.
    task = replace(task, base="", batch_size=1)
    return key_of(task, "" if task.adapter is None else adapter_sha256(task.adapter), model_key)


def draw(task: DrawTask) -> pd.DataFrame:
    """Draw the task's answers; columns ANSWER_COLUMNS.

    Deterministic given the task, on one machine.
    """
    from palm_engine.lm.adapters.files import with_adapter

    base = loaded_base(task.base, task.template)
    return draw_from(with_adapter(base.model, task.adapter), base.tokenizer, task)


def draw_from(
    model: Any, tokenizer: Any, task: DrawTask, mixture: Mixture | None = None
) -> pd.DataFrame:
    """Draw the task's answers from a model that is loaded; columns ANSWER_COLUMNS.

    Args:
        model: as the task wants it; its adapter is not looked at.
        tokenizer: the model's.
        task: what is drawn.
        mixture: of adapters on the model that answer together, or None.
    """
    keys = [(pid, sample) for pid, _ in task.prompts for sample in range(task.samples)]
    texts = dict(task.prompts)
    requests = [
        Request(task.system, texts[pid], (task.seed, _number(task.policy), _number(pid), sample))
        for pid, sample in keys
    ]
    answers = sample_answers(
        model, tokenizer, requests, task.settings, task.batch_size, report_progress, mixture
    )
    rows = [
        (task.policy, pid, sample, answer.text, len(answer.token_ids))
        for (pid, sample), answer in zip(keys, answers, strict=True)
    ]
    return pd.DataFrame(rows, columns=ANSWER_COLUMNS)


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Answers of several draws below each other.

    FINISH is kept where some have it.
    """
    whole = pd.concat(frames, ignore_index=True)
    if FINISH in whole:
        whole[FINISH] = whole[FINISH].fillna("").astype(str)
    return whole


def read_prompts(path: Path) -> pd.DataFrame:
    """The prompts file: prompt_id, kind, split, text.

    Raises:
        ConfigError: naming row and column.
    """
    frame = _read(path, ("prompt_id", "kind", "split", "text"), "data.prompts")
    for column, bad in (
        ("split", ~frame["split"].isin(SPLITS)),
        (
            "prompt_id",
            frame["prompt_id"].duplicated() | ~frame["prompt_id"].map(is_name).astype(bool),
        ),
        ("text", frame["text"].str.strip() == ""),
    ):
        if bad.any():
            row = int(bad.to_numpy().nonzero()[0][0])
            raise ConfigError(
                f"{path}, row {row + 2}: {column} {frame[column][row][:80]!r} is empty, repeated,"
                " unknown or no name"
            )
    if "cluster" in frame:
        empty = (frame["cluster"].str.strip() == "").to_numpy()
        if empty.any():
            raise ConfigError(
                f"{path}, row {int(empty.argmax()) + 2}: cluster is empty; a prompt that resembles"
                " no other is a cluster of its own: write its prompt_id"
            )
        require_clusters_apart(frame, str(path))
    return frame


def require_clusters_apart(prompts: pd.DataFrame, place: str) -> None:
    """Check that no cluster of prompts is on both sides of a split.

    Args:
        prompts: columns cluster and split.
        place: where they come from, for the message.

    Raises:
        ConfigError: names a cluster that is.
    """
    held_out = prompts[prompts["split"] != "train"]
    splits = held_out.groupby("cluster")["split"].nunique()
    if (splits > 1).any():
        raise ConfigError(
            f"{place}: cluster {str(splits.idxmax())[:80]!r} has prompts in choose and in certify;"
            " members would be certified on what they were chosen on: keep it on one side"
        )


def read_demonstrations(path: Path, prompts: Collection[str]) -> pd.DataFrame:
    """The file of written answers: prompt_id, style, text.

    Args:
        path: of the file.
        prompts: ids of the train prompts; each needs equally many answers.

    Raises:
        ConfigError: naming row and column.
    """
    frame = _read(path, ("prompt_id", "style", "text"), "data.demonstrations")
    empty = (frame["text"].str.strip() == "").to_numpy()
    if empty.any():
        raise ConfigError(f"{path}, row {int(empty.argmax()) + 2}: text is empty")
    strange = ~frame["prompt_id"].isin(list(prompts)).to_numpy()
    if strange.any():
        row = int(strange.argmax())
        raise ConfigError(
            f"{path}, row {row + 2}: prompt_id {frame['prompt_id'][row][:80]!r} is not a train"
            " prompt; demonstrations train members"
        )
    counts = frame.groupby("prompt_id").size().reindex(list(prompts), fill_value=0)
    if len(frame) and counts.nunique() > 1:
        raise ConfigError(
            f"{path}: every train prompt needs equally many answers; {counts.idxmin()!r} has"
            f" {counts.min()}, {counts.idxmax()!r} has {counts.max()}"
        )
    return frame


def _read(path: Path, columns: Sequence[str], field: str) -> pd.DataFrame:
    """A CSV file of the configuration, all cells as text.

    Raises:
        ConfigError: it can't be read, or lacks a column.
    """
    try:
        there, is_file = path.exists(), path.is_file()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({reason(error)}); {field} names it") from error
    if not there:
        raise ConfigError(f"{path}: no such file ({field} in the configuration)")
    try:
        frame = read_cells(path)
    except ValueError as error:
        why = "no file" if not is_file else str(error).splitlines()[0][:200]
        raise ConfigError(
            f"{path}: can't be read as a CSV file in UTF-8 ({why}); {field} in the configuration"
            " names it"
        ) from error
    missing = set(columns) - set(frame.columns)
    if missing:
        raise ConfigError(f"{path}: missing column(s) {', '.join(sorted(missing))}")
    return frame


def _number(name: str) -> int:
    # Stable across runs, unlike hash().
    return zlib.crc32(name.encode())
