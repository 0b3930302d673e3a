"""From a table of others to rewards, answers and prompts: checked, scaled, counted.

Nothing is repaired in silence: every refusal names file, row and column, and what was dropped is
counted in the record that the bundle keeps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from palm_engine._limits import most_cells, most_prompts
from palm_engine._types import Floats
from palm_engine.bundle.manifest import MOST_CANDIDATES
from palm_engine.bundle.names import MOST_LABEL, safe_name
from palm_engine.bundle.schema import ImportRecord
from palm_engine.errors import InvalidInputError
from palm_engine.tables.files import TableFile
from palm_engine.tables.numbers import is_plain
from palm_engine.tables.repeats import warnings_of
from palm_engine.tables.reward_table import RewardTable
from palm_engine.tables.scaling import scale
from palm_engine.tables.spec import ImportSpec
from palm_engine.tables.words import count_words

# What is odd about a policy's answers; letters that are kept of it.
WARNING = "warning"
MOST_WARNING = 200
# Of costs and lengths.
MOST_NUMBER = 1e15


def import_table(file: TableFile, spec: ImportSpec, most: int = MOST_CANDIDATES) -> RewardTable:
    """Read rewards, and where there are any prompts and answers, from a table.

    Args:
        file: the table.
        spec: what its columns are, and what becomes of them.
        most: policies that it may have; more than a bundle holds can only be selected from.

    Returns:
        Rewards of all policies, with labels, warnings, answers and the record of what was done.

    Raises:
        InvalidInputError: a cell, name or row can't be used; names it and how to fix it.
    """
    for column in _columns_of(spec):
        if column not in file.frame:
            raise InvalidInputError(
                f"{file.name}: no column {column!r}; it has {', '.join(file.frame.columns)}"
            )
    frame = _named(file, spec, most)
    values, counts = _values(file, spec, frame)
    frame, values, dropped = _without_missing(file, spec, frame, values)
    words = {}
    rewards = np.zeros(values.shape)
    for i, trait in enumerate(spec.traits):
        try:
            scaled = scale(values[:, i], trait.scaling, trait.column)
        except InvalidInputError as error:
            place = _first_outside(file, frame, values[:, i], trait.scaling.low, trait.scaling.high)
            raise InvalidInputError(f"{place}, {error}") from error
        rewards[:, i] = np.clip(scaled.rewards, 0.0, 1.0)
        words[trait.name] = scaled.words
    labels, ids = _ids(frame["policy"])
    frame["policy"] = frame["policy"].map(ids)
    record = ImportRecord(
        source=file.name.rsplit("/", 1)[-1],
        rows=len(file.frame),
        settings=spec.model_dump(mode="json"),
        normalisation=words,
        missing_cells=counts,
        dropped=dropped,
    )
    read = _wide if spec.prompt is None else _long
    table = read(file, spec, frame, rewards, labels, record)
    return replace(table, trait_labels={t.name: t.label for t in spec.traits if t.label})


def _columns_of(spec: ImportSpec) -> list[str]:
    named = (spec.policy, spec.prompt, spec.prompt_text, spec.text, spec.sample, spec.cluster)
    columns = [c for c in (*named, spec.cost, spec.tokens) if c is not None]
    return [*columns, *(t.column for t in spec.traits)]


def _named(file: TableFile, spec: ImportSpec, most: int) -> pd.DataFrame:
    """Policies, prompts and texts under our names, with each row's place in the file.

    Raises:
        InvalidInputError: a name is missing or no word, or there are too many policies.
    """
    frame = pd.DataFrame({"place": np.arange(len(file.frame))})
    words = (spec.policy, spec.prompt, spec.prompt_text, spec.text, spec.sample, spec.cluster)
    for column in words:
        if column is not None and not is_plain(file.frame[column]):
            raise InvalidInputError(
                f"{file.name}, column {column}: holds neither words nor numbers; write it as text"
            )
    frame["policy"] = _words(file.frame[spec.policy])
    empty = (frame["policy"] == "").to_numpy()
    if empty.any():
        raise InvalidInputError(
            f"{file.row(int(empty.argmax()))}, column {spec.policy}: the name of the policy is"
            " missing"
        )
    if (count := frame["policy"].nunique()) > most:
        raise InvalidInputError(
            f"{file.name}: {count:,} policies, more than {most:,}; keep the best"
        )
    for ours, column in (
        ("prompt", spec.prompt),
        ("prompt_text", spec.prompt_text),
        ("text", spec.text),
        ("sample", spec.sample),
        ("cluster", spec.cluster),
    ):
        if column is not None:
            frame[ours] = _words(file.frame[column])
    if spec.prompt is not None:
        empty = (frame["prompt"] == "").to_numpy()
        if empty.any():
            raise InvalidInputError(
                f"{file.row(int(empty.argmax()))}, column {spec.prompt}: the prompt is missing"
            )
    return frame


def _words(cells: pd.Series) -> pd.Series:
    return cells.where(cells.notna(), "").astype(str).str.strip()


def _values(
    file: TableFile, spec: ImportSpec, frame: pd.DataFrame
) -> tuple[Floats, dict[str, int]]:
    """Scores, (rows, traits), NaN where a cell is missing; how many are, by trait.

    Costs and lengths are put into `frame`.

    Raises:
        InvalidInputError: a cell is no number.
    """
    values = np.zeros((len(frame), len(spec.traits)))
    counts = {}
    wanted = [(t.column, t.name) for t in spec.traits]
    extra = [(c, n) for c, n in ((spec.cost, "cost"), (spec.tokens, "tokens")) if c is not None]
    for i, (column, name) in enumerate([*wanted, *extra]):
        read = file.numbers(column, spec.decimal)
        if read.wrong.any():
            row = int(read.wrong.argmax())
            raise InvalidInputError(
                f"{file.row(row)}, column {column}: {read.why(_cell(file, row, column))}"
            )
        if i < len(wanted):
            values[:, i] = read.values
            counts[name] = int(read.missing.sum())
        else:
            frame[name] = read.values
    rules = {
        "cost": "a cost is a number >= 0",
        "tokens": "a length is a number of tokens >= 0",
    }
    for column, name in extra:
        bad = ~((frame[name] >= 0) & (frame[name] < MOST_NUMBER)).to_numpy()
        if bad.any():
            row = int(bad.argmax())
            raise InvalidInputError(
                f"{file.row(row)}, column {column}: {_cell(file, row, column)}; {rules[name]}"
            )
    return values, counts


def _without_missing(
    file: TableFile, spec: ImportSpec, frame: pd.DataFrame, values: Floats
) -> tuple[pd.DataFrame, Floats, dict[str, int]]:
    """Rows that are whole, and in long tables policies that answer the same prompts.

    Raises:
        InvalidInputError: something is missing and nothing may be dropped, or nothing is left.
    """
    dropped = {"policies": 0, "prompts": 0}
    gone: NDArray[np.bool_] = np.asarray(np.isnan(values).any(axis=1))
    if gone.any() and spec.missing == "refuse":
        _refuse_blocks(file, spec, frame, values)
        row = int(gone.argmax())
        column = spec.traits[int(np.isnan(values[row]).argmax())].column
        raise InvalidInputError(
            f"{file.row(row)}, column {column}: the score is missing, in {int(gone.sum()):,} of"
            f" {len(gone):,} rows; drop those policies or prompts (--missing drop-policy or"
            " drop-prompt), or fill the cells in"
        )
    by_prompt = spec.missing == "drop-prompt"
    if gone.any() and by_prompt and "prompt" not in frame:
        raise InvalidInputError(
            f"{file.name}: scores are missing and prompts are to be dropped, but it has none; say"
            " which column holds them, or drop policies (--missing drop-policy)"
        )
    if gone.any():
        key = "prompt" if by_prompt else "policy"
        lost = set(frame[key][gone])
        dropped["prompts" if by_prompt else "policies"] = len(lost)
        keep = ~frame[key].isin(lost).to_numpy()
        frame, values = frame[keep], values[keep]
    if "prompt" in frame and len(frame):
        table, policies, prompts = _answered(file, frame)
        if not table.all():
            if spec.missing == "refuse":
                row, column = np.argwhere(~table)[0]
                raise InvalidInputError(
                    f"{file.name}: policy {policies[row]!r} has no row for prompt"
                    f" {prompts[column]!r}; each needs one. Drop policies or prompts that are not"
                    " whole (--missing drop-policy or drop-prompt)"
                )
            key, names = ("prompt", prompts) if by_prompt else ("policy", policies)
            lost = set(names[~table.all(axis=0 if by_prompt else 1)])
            dropped["prompts" if by_prompt else "policies"] += len(lost)
            keep = ~frame[key].isin(lost).to_numpy()
            frame, values = frame[keep], values[keep]
    if not len(frame):
        raise InvalidInputError(
            f"{file.name}: nothing is left when what is missing is dropped; try the other of"
            " drop-policy and drop-prompt, or fewer traits"
        )
    return frame.reset_index(drop=True), values, dropped


def _refuse_blocks(file: TableFile, spec: ImportSpec, frame: pd.DataFrame, values: Floats) -> None:
    """Say what to do with a table whose traits were each measured on prompts of their own.

    Raises:
        InvalidInputError: it is one: no prompt has all traits, and every prompt has some.
    """
    missing = np.isnan(values)
    if "prompt" not in frame or not missing.any(axis=1).all() or missing.all(axis=1).any():
        return
    codes, names = pd.factorize(frame["prompt"])
    counts = [len(np.unique(codes[~missing[:, i]])) for i in range(len(spec.traits))]
    each = ", ".join(f"{t.column} on {n:,}" for t, n in zip(spec.traits, counts, strict=True))
    raise InvalidInputError(
        f"{file.name}: no prompt has all traits ({each} of {len(names):,} prompts); a policy's"
        " traits have to be scored on the same prompts for a bound. For exact gaps without one,"
        " give one row per policy with its means"
    )


def _answered(
    file: TableFile, frame: pd.DataFrame
) -> tuple[NDArray[np.bool_], NDArray[np.object_], NDArray[np.object_]]:
    """Who answered what, (policies, prompts), and the names of both, sorted.

    Raises:
        InvalidInputError: there are too many of both.
    """
    rows, policies = pd.factorize(frame["policy"], sort=True)
    columns, prompts = pd.factorize(frame["prompt"], sort=True)
    if len(prompts) > most_prompts():
        raise InvalidInputError(
            f"{file.name}: {len(prompts):,} prompts, more than {most_prompts():,}; take some"
            " of them, or allow more (PALM_MOST_PROMPTS) where there is memory"
        )
    if len(policies) * len(prompts) > most_cells():
        raise InvalidInputError(
            f"{file.name}: {len(policies):,} policies and {len(prompts):,} prompts; more than"
            f" {most_cells():,} pairs need PALM_MOST_CELLS, and memory for them"
        )
    table = np.zeros((len(policies), len(prompts)), dtype=bool)
    table[rows, columns] = True
    return table, np.asarray(policies, dtype=object), np.asarray(prompts, dtype=object)


def _cell(file: TableFile, row: int, column: str) -> str:
    found = file.frame[column].iloc[row]
    return repr(found if isinstance(found, str) else str(found))


def _first_outside(
    file: TableFile, frame: pd.DataFrame, values: Floats, low: float | None, high: float | None
) -> str:
    outside = ~(
        (values >= (0.0 if low is None else low)) & (values <= (1.0 if high is None else high))
    )
    return file.row(int(frame["place"].iloc[int(outside.argmax())])) if outside.any() else file.name


def _ids(policies: pd.Series) -> tuple[dict[str, str], dict[str, str]]:
    """Labels by id where they differ, and ids by name, in the order of the table."""
    taken: dict[str, None] = {}
    ids = {}
    labels = {}
    for name in dict.fromkeys(policies):
        own = safe_name(name, taken)
        taken[own] = None
        ids[name] = own
        if own != name:
            labels[own] = name if len(name) <= MOST_LABEL else f"{name[:46]}…{name[-33:]}"
    return labels, ids


def _wide(
    file: TableFile,
    spec: ImportSpec,
    frame: pd.DataFrame,
    rewards: Floats,
    labels: dict[str, str],
    record: ImportRecord,
) -> RewardTable:
    twice = frame["policy"].duplicated().to_numpy()
    if twice.any():
        row = int(twice.argmax())
        place = file.row(int(frame["place"].iloc[row]))
        name = frame["policy"].iloc[row]
        raise InvalidInputError(
            f"{place}, column {spec.policy}: {labels.get(name, name)!r} is listed twice; if rows"
            " belong to prompts, say which column holds them (--prompt COLUMN)"
        )
    # As the table of a bundle's candidates has it (Bundle.candidates_table).
    odd = _words(file.frame[WARNING])[frame["place"]] if WARNING in file.frame else ()
    warnings = {p: w[:MOST_WARNING] for p, w in zip(frame["policy"], odd, strict=False) if w}
    return RewardTable(
        policies=list(frame["policy"]),
        traits=[t.name for t in spec.traits],
        rewards=rewards,
        kl_cost=frame["cost"].to_numpy(dtype=float) if spec.cost is not None else None,
        scores=None,
        labels=labels,
        warnings=warnings,
        record=record,
    )


def _long(
    file: TableFile,
    spec: ImportSpec,
    frame: pd.DataFrame,
    by_row: Floats,
    labels: dict[str, str],
    record: ImportRecord,
) -> RewardTable:
    traits = [t.name for t in spec.traits]
    policies = list(dict.fromkeys(frame["policy"]))
    _require_one_cluster(file, spec, frame)
    _require_one_text(file, spec, frame)
    prompts, frame["prompt_id"] = _prompts(frame)
    keys = [frame["prompt_id"], frame["policy"]]
    if "sample" in frame and frame.duplicated(["policy", "prompt_id", "sample"]).any():
        row = int(frame.duplicated(["policy", "prompt_id", "sample"]).to_numpy().argmax())
        raise InvalidInputError(
            f"{file.row(int(frame['place'].iloc[row]))}: policy, prompt and sample are listed twice"
        )
    frame["sample_id"] = frame.groupby(keys).cumcount()
    # A trait may be called like a column of ours, so they have a table of their own.
    means = pd.DataFrame(by_row, columns=traits).groupby(keys, sort=False).mean()
    wanted = pd.MultiIndex.from_product([prompts["prompt_id"], policies])
    scores = means.reindex(wanted).to_numpy().reshape(len(prompts), len(policies), len(traits))
    kl_cost = None
    rewards = scores.mean(axis=0)
    if spec.cost is not None:
        costs = frame.groupby(keys, sort=False)["cost"].mean().reindex(wanted)
        by_prompt = costs.to_numpy().reshape(len(prompts), len(policies))
        kl_cost = by_prompt.mean(axis=0)
        scores = scores - by_prompt[:, :, None]
    samples = frame[["policy", "prompt_id", "sample_id"]].copy()
    warnings: dict[str, str] = {}
    if "text" in frame:
        samples["text"] = frame["text"].to_numpy()
        warnings = warnings_of(samples, frame["prompt_id"].nunique())
        lengths = frame.get("tokens", frame["text"].map(count_words))
        samples["tokens"] = lengths.astype(int).to_numpy()
    else:
        samples["text"] = ""
        samples["tokens"] = 0
    samples[traits] = by_row
    return RewardTable(
        policies, traits, rewards, kl_cost, scores, labels, warnings, prompts, samples, record
    )


def _require_one_cluster(file: TableFile, spec: ImportSpec, frame: pd.DataFrame) -> None:
    """Check that all rows of a prompt name the same cluster.

    Raises:
        InvalidInputError: names a row that doesn't, or that names none.
    """
    if spec.cluster is None:
        return
    first = frame.groupby("prompt")["cluster"].transform("first")
    bad = ((frame["cluster"] == "") | (frame["cluster"] != first)).to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise InvalidInputError(
            f"{file.row(int(frame['place'].iloc[row]))}, column {spec.cluster}: prompt"
            f" {frame['prompt'].iloc[row][:80]!r} is in cluster {first.iloc[row]!r} in one row and"
            f" in {frame['cluster'].iloc[row]!r} in another; every row of a prompt names the same"
        )


def _require_one_text(file: TableFile, spec: ImportSpec, frame: pd.DataFrame) -> None:
    """Check that a prompt's id stands for the same words in every row.

    Raises:
        InvalidInputError: names a row where it doesn't.
    """
    if spec.prompt_text is None or spec.prompt_text == spec.prompt:
        return
    first = frame.groupby("prompt")["prompt_text"].transform("first")
    bad = (frame["prompt_text"] != first).to_numpy()
    if bad.any():
        row = int(bad.argmax())
        here = frame.iloc[row]
        raise InvalidInputError(
            f"{file.row(int(here['place']))}, column {spec.prompt_text}: prompt"
            f" {here['prompt'][:80]!r} is {here['prompt_text'][:60]!r} here and"
            f" {first.iloc[row][:60]!r} in another row; give each prompt an id of its own"
        )


def _prompts(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Prompts with ids and texts, in the order of the table; each row's prompt_id."""
    first = frame.drop_duplicates("prompt").reset_index(drop=True)
    # An id is a short word; what isn't, is the prompt's own text.
    short = first["prompt"].str.fullmatch(r"\S{1,64}").all()
    ids = list(first["prompt"]) if short else [f"prompt-{i:04d}" for i in range(len(first))]
    text = first["prompt_text"] if "prompt_text" in first else first["prompt"]
    prompts = pd.DataFrame({"prompt_id": ids, "split": "all", "text": text})
    if "cluster" in first:
        prompts["cluster"] = first["cluster"]
    return prompts, frame["prompt"].map(dict(zip(first["prompt"], ids, strict=True)))
