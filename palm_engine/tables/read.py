"""Reads a table whose rewards are in [0, 1] already, with nothing to be chosen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from palm_engine._limits import most_policies
from palm_engine.bundle.folder import MANIFEST_FILE, Bundle, read_bundle
from palm_engine.errors import InvalidInputError
from palm_engine.tables.files import read_table_file
from palm_engine.tables.importing import import_table
from palm_engine.tables.reward_table import RewardTable
from palm_engine.tables.scaling import Scaling
from palm_engine.tables.spec import default_spec

# Options of `palm import` that its messages name, and what else they are called elsewhere.
_IMPORT_OPTIONS = re.compile(r"--(?:missing|policy|prompt|cluster|decimal)")


def read_reward_table(path: Path | str, traits: Sequence[str] = ()) -> RewardTable:
    """Read a table of rewards that are in [0, 1] already; `palm import` takes all others.

    Args:
        path: CSV, TSV, Parquet, JSON or JSON Lines; one row per policy, or one per policy and
            prompt. Columns are recognised by name: policies (`policy`, `model`, ...), prompts,
            `cost`; every other column of numbers that looks like a score is a trait. Or a bundle:
            its candidates, with their scores on certify prompts.
        traits: columns to take instead.

    Raises:
        BundleError: a bundle can't be read.
        InvalidInputError: names the file, row and column.
    """
    path = Path(path)
    folder = path.parent if path.name == "samples.parquet" else path
    if (folder / MANIFEST_FILE).is_file():
        return table_of(read_bundle(folder), traits)
    file = read_table_file(path)
    try:
        spec = default_spec(file, tuple(traits))
        plain = tuple(t.model_copy(update={"scaling": Scaling()}) for t in spec.traits)
        return import_table(file, spec.model_copy(update={"traits": plain}), most_policies())
    except InvalidInputError as error:
        text = str(error)
        if "is not in [0, 1]" in text:
            raise InvalidInputError(
                text.partition("; choose another")[0]
                + "; rewards are in [0, 1]: palm import takes other scales and directions"
            ) from error
        if named := sorted(set(_IMPORT_OPTIONS.findall(text))):
            raise InvalidInputError(f"{text}. It is palm import that has {', '.join(named)}") from (
                error
            )
        raise


def table_of(bundle: Bundle, traits: Sequence[str] = ()) -> RewardTable:
    """The candidates of a bundle as a table, with their scores on certify prompts.

    Args:
        bundle: read.
        traits: of the bundle; all if none is named.

    Raises:
        InvalidInputError: the bundle has no such trait, or fewer than two are named.
    """
    if strange := [t for t in traits if t not in bundle.traits]:
        raise InvalidInputError(
            f"{bundle.folder}: no trait {strange[0]!r}; it has {', '.join(bundle.traits)}"
        )
    if len(traits) == 1:
        raise InvalidInputError(f"{bundle.folder}: one trait has no trade-off; name two or more")
    names = list(traits) or list(bundle.traits)
    columns = [bundle.traits.index(t) for t in names]
    scores = bundle.scores_on("certify")
    candidates = bundle.manifest.candidates
    prompts = bundle.prompts[bundle.prompts["split"] == "certify"].sort_values("prompt_id")
    return RewardTable(
        policies=bundle.policies,
        traits=names,
        rewards=bundle.rewards[:, columns],
        kl_cost=np.array([c.kl_cost for c in candidates]) if bundle.with_cost else None,
        scores=None if scores is None else scores[:, :, columns],
        labels={c.policy: c.display_name for c in candidates if c.display_name},
        warnings={c.policy: c.warning for c in candidates if c.warning},
        prompts=None if scores is None else prompts,
        trait_labels={t.name: t.display_name for t in bundle.manifest.traits if t.display_name},
        limits=bundle.limits if names == bundle.traits else None,
    )
