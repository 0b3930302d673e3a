"""A reward table from CSV or Parquet.

One row per policy, or one per policy and prompt (long, for confidence).

Columns: `policy`, one per trait with rewards in [0, 1], optionally `cost` (>= 0; then the value is
reward minus cost), optionally `prompt_id`. Every refusal names file, row and column.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from palm_engine._types import Floats
from palm_engine.bundle.names import NAME_RULE, is_name
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.policies import policy_points

RESERVED = ("policy", "cost", "prompt_id")
MOST_TRAITS = 8


@dataclass(frozen=True)
class RewardTable:
    """Evaluated policies.

    Attributes:
        policies: their n names.
        traits: names of the d traits.
        rewards: mean rewards, (n, d), in [0, 1].
        kl_cost: of each, (n,), or None where it is not counted.
        scores: by prompt, rewards less KL costs, (prompts, n, d); None without prompts.
    """

    policies: list[str]
    traits: list[str]
    rewards: Floats
    kl_cost: Floats | None
    scores: Floats | None

    @property
    def points(self) -> Floats:
        """Points u = v - c, shape (n, d)."""
        return policy_points(self.rewards, self.kl_cost)

    def row(self, policy: str) -> int:
        """The row of a policy.

        Raises:
            InvalidInputError: there is none of that name.
        """
        if policy not in self.policies:
            raise InvalidInputError(
                f"no policy {policy!r} in the table; it holds {', '.join(self.policies[:8])}"
                + (" ..." if len(self.policies) > 8 else "")
            )
        return self.policies.index(policy)


def read_reward_table(path: Path | str) -> RewardTable:
    """Read a reward table (.csv or .parquet).

    Args:
        path: one row per policy, or one per policy and prompt; columns `policy`, one per trait with
            rewards in [0, 1], optionally `cost` and `prompt_id`.

    Raises:
        InvalidInputError: names the file, row and column.
    """
    path = Path(path)
    frame = _frame(path)
    traits = [str(c) for c in frame.columns if c not in RESERVED]
    if "policy" not in frame.columns:
        raise InvalidInputError(
            f"{path}: no column `policy`; the columns are {', '.join(map(str, frame.columns))}"
        )
    if not 2 <= len(traits) <= MOST_TRAITS:
        raise InvalidInputError(
            f"{path}: {len(traits)} trait column(s) ({', '.join(traits)}); 2 to {MOST_TRAITS} work"
        )
    for trait in traits:
        if not is_name(trait):
            raise InvalidInputError(
                f"{path}: the column {trait!r} isn't a trait's name ({NAME_RULE})"
            )
    if not len(frame):
        raise InvalidInputError(f"{path}: no rows")
    frame = frame.assign(policy=frame["policy"].astype(str))
    _refuse(
        path,
        frame,
        "policy",
        ~frame["policy"].map(is_name).to_numpy(dtype=bool),
        f"a name has {NAME_RULE}",
    )
    for column in [*traits, *(["cost"] if "cost" in frame else [])]:
        numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)
        most = np.inf if column == "cost" else 1.0
        bad = ~(np.isfinite(numbers) & (numbers >= 0) & (numbers <= most))
        _refuse(
            path,
            frame,
            column,
            bad,
            "a cost is a number >= 0" if column == "cost" else "rewards are in [0, 1]",
        )
        frame[column] = numbers
    keys = ["policy", "prompt_id"] if "prompt_id" in frame else ["policy"]
    if "prompt_id" not in frame:
        _refuse(path, frame, "policy", frame.duplicated(keys).to_numpy(), "listed twice")
    policies = list(dict.fromkeys(frame["policy"]))
    scores = None
    if "prompt_id" in frame:
        means = frame.groupby(["prompt_id", "policy"], sort=True)[traits].mean()
        prompts = list(dict.fromkeys(means.index.get_level_values(0)))
        table = means.reindex(pd.MultiIndex.from_product([prompts, policies]))
        if table.isna().to_numpy().any():
            prompt, policy = table.index[table.isna().any(axis=1)][0]
            raise InvalidInputError(
                f"{path}: policy {policy!r} has no row for prompt {prompt!r}; each needs one"
            )
        scores = table.to_numpy().reshape(len(prompts), len(policies), len(traits))
        rewards = scores.mean(axis=0)
        if "cost" in frame:
            costs = (
                frame.groupby(["prompt_id", "policy"], sort=True)["cost"]
                .mean()
                .reindex(table.index)
            )
            scores = scores - costs.to_numpy().reshape(len(prompts), len(policies), 1)
    else:
        rewards = frame[traits].to_numpy(dtype=float)
    kl_cost = (
        frame.groupby("policy")["cost"].mean()[policies].to_numpy() if "cost" in frame else None
    )
    return RewardTable(policies, traits, rewards, kl_cost, scores)


def _frame(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InvalidInputError(f"{path}: no such file")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            return pd.read_csv(path, keep_default_na=False, dtype={"policy": str, "prompt_id": str})
    except (ValueError, OSError) as error:
        raise InvalidInputError(f"{path}: can't be read as a table: {error}") from error
    raise InvalidInputError(f"{path}: a reward table is a .csv or a .parquet file")


def _refuse(path: Path, frame: pd.DataFrame, column: str, bad: NDArray[np.bool_], why: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        # Row 2 of a CSV is its first row of data.
        raise InvalidInputError(
            f"{path}, row {row + 2}, column {column}: {frame[column].iloc[row]!r}; {why}"
        )
