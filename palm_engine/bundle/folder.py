"""The bundle on disk: a folder that is read, validated and written whole.

Texts and adapters are optional: a reward table alone is a valid bundle. Nothing outside the folder
is ever read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from palm_engine._json import read_json
from palm_engine._types import Floats
from palm_engine.bundle.limits import Limits
from palm_engine.bundle.manifest import FORMAT_VERSION, Manifest
from palm_engine.bundle.schema import Candidate
from palm_engine.bundle.tables import (
    clusters_of,
    read_table,
    require_known,
    require_no_link,
    require_prompts,
)
from palm_engine.bundle.upgrade import upgrade
from palm_engine.bundle.validation import describe_validation_error
from palm_engine.errors import BundleError
from palm_engine.geometry.confidence import span_of
from palm_engine.geometry.policies import policy_points
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import named_weights, weights_text
from palm_engine.lm.settings import SamplingSettings

MANIFEST_FILE = "portfolio.json"
# Behind the name of a bundle that another took the place of.
PREVIOUS = ".previous"
# Whose answers are kept as records: what sessions look at now.
KEPT_PROMPTS = 16
TABLES = ("prompts.parquet", "pool.parquet", "samples.parquet")


@dataclass(frozen=True)
class Bundle:
    """A validated bundle; tables are read on first use.

    Attributes:
        folder: where it is.
        manifest: the content of its portfolio.json.
    """

    folder: Path
    manifest: Manifest

    @property
    def traits(self) -> list[str]:
        """Trait names, in the order of every weights vector."""
        return [t.name for t in self.manifest.traits]

    @property
    def with_cost(self) -> bool:
        """Whether values count the KL cost."""
        return self.manifest.with_cost

    @property
    def unit(self) -> str:
        """What values and gaps are counted in."""
        return f"reward minus {self.manifest.cost_name}" if self.with_cost else "reward units"

    @cached_property
    def region(self) -> Region | None:
        """The weights that count; None: all.

        Raises:
            InvalidInputError: the manifest's bounds leave no room.
        """
        where = self.manifest.where
        return Region.from_bounds(where, self.traits) if where else None

    @property
    def limits(self) -> Limits:
        """What counts in a choice from this bundle."""
        m = self.manifest
        return Limits(dict(m.where), dict(m.floors), m.required, m.ruled_out)

    @property
    def limits_text(self) -> str:
        """What is asked of weights and members, in sentences; "" where nothing is."""
        told = [f"Only weights with {self.region_text} count."] if self.region_text else []
        floors = ", ".join(f"{t} at least {x:g}" for t, x in self.manifest.floors.items())
        told += [f"Members have {floors}."] if floors else []
        names = ", ".join(map(self.label, self.manifest.required))
        told += [f"Must be members: {names}."] if names else []
        names = ", ".join(map(self.label, self.manifest.ruled_out))
        told += [f"May not be members: {names}."] if names else []
        return " ".join(told)

    @property
    def region_text(self) -> str:
        """The bounds on the weights that count, in words; "" without any."""
        parts = []
        for trait, (low, high) in self.manifest.where.items():
            if low > 0:
                parts.append(f"{trait} at least {low:g}")
            if high < 1:
                parts.append(f"{trait} at most {high:g}")
        return ", ".join(parts)

    @property
    def where_text(self) -> str:
        """The same after "all weights": ` with ...`; "" without any."""
        return f" with {self.region_text}" if self.region_text else ""

    @property
    def policies(self) -> list[str]:
        """Candidate names, in the order of the rows of `points`."""
        return [c.policy for c in self.manifest.candidates]

    def row(self, policy: str) -> int:
        """The row of a candidate in `points`.

        Raises:
            BundleError: there is none of that name.
        """
        self.candidate(policy)
        return self.policies.index(policy)

    @cached_property
    def rewards(self) -> Floats:
        """Reward vectors of the candidates, shape (n, d), in [0, 1]."""
        return np.array([[c.rewards[t] for t in self.traits] for c in self.manifest.candidates])

    @cached_property
    def points(self) -> Floats:
        """Candidates as points `u = v - c` (n, d) under the bundle's declared value."""
        costs = [c.kl_cost for c in self.manifest.candidates]
        return policy_points(self.rewards, costs if self.with_cost else None)

    def points_on(self, split: str) -> Floats | None:
        """Candidates as points (n, d), from their mean rewards on one split of prompts.

        None where one wasn't evaluated.
        """
        candidates = self.manifest.candidates
        if any(split not in c.evaluated for c in candidates):
            return None
        rewards = [[c.evaluated[split][t] for t in self.traits] for c in candidates]
        return policy_points(
            rewards,
            [c.kl_cost for c in candidates] if self.with_cost else None,
        )

    def scores_on(self, split: str) -> Floats | None:
        """Points by prompt, shape (prompts, candidates, d).

        Mean scores of a prompt's answers, costs taken off.

        None where some candidate didn't answer every prompt of the split.
        """
        ids = set(self.prompts["prompt_id"][self.prompts["split"] == split])
        rows = self.samples[
            self.samples["prompt_id"].isin(ids) & self.samples["policy"].isin(self.policies)
        ]
        means = rows.groupby(["prompt_id", "policy"], sort=True, observed=True)[self.traits].mean()
        wanted = pd.MultiIndex.from_product([sorted(ids), self.policies])
        table = means.reindex(wanted).to_numpy(dtype=float)
        if not ids or np.isnan(table).any():
            return None
        costs = [c.kl_cost if self.with_cost else 0.0 for c in self.manifest.candidates]
        return np.asarray(
            table.reshape(len(ids), len(self.policies), -1) - np.array(costs)[None, :, None]
        )

    def clusters_on(self, split: str) -> list[str] | None:
        """The cluster of each prompt of `scores_on`; None where prompts name none."""
        rows = self.prompts[self.prompts["split"] == split]
        return clusters_of(rows.sort_values("prompt_id"))

    @property
    def most_tokens(self) -> int:
        """How long its answers may be, in tokens.

        The longest one where they were not drawn here; the usual length without answers.
        """
        if self.manifest.sampling is not None:
            return self.manifest.sampling.max_new_tokens
        longest = 0 if self.samples.empty else int(self.samples["tokens"].max())
        return max(longest, 2) if longest else SamplingSettings().max_new_tokens

    @property
    def span(self) -> float:
        """The largest gap that a single prompt can have, by the bundle's declared value."""
        costs = np.array([c.kl_cost for c in self.manifest.candidates])
        return span_of(costs if self.with_cost else None)

    @property
    def labels(self) -> list[str]:
        """Names of the candidates for people, in the order of the rows of `points`."""
        return [c.label for c in self.manifest.candidates]

    @property
    def trait_labels(self) -> list[str]:
        """Names of the traits for people, in the order of `traits`; no two are the same."""
        names = [t.label for t in self.manifest.traits]
        return names if len(set(names)) == len(names) else self.traits

    def weights_text(self, weights: ArrayLike | Mapping[str, float]) -> str:
        """Weights for people: `safety 0.60, humor 0.40`.

        Args:
            weights: shape (d,), or by trait, perhaps of some of them.
        """
        by_name = (
            weights if isinstance(weights, Mapping) else named_weights(weights, self.traits, 12)
        )
        label = dict(zip(self.traits, self.trait_labels, strict=True))
        return weights_text({label.get(t, t): w for t, w in by_name.items()})

    def label(self, policy: str) -> str:
        """The name of a candidate, or of a policy that was kept out, for people.

        Raises:
            BundleError: there is no such candidate.
        """
        outside = {c.policy: c.label for c in self.manifest.outside}
        return outside.get(policy) or self.candidate(policy).label

    def candidates_table(self) -> pd.DataFrame:
        """All candidates as a reward table: policy, a column per trait, cost where it counts.

        And in words what is odd about answers, where something is.
        """
        frame = pd.DataFrame(self.rewards, columns=self.traits)
        frame.insert(0, "policy", self.policies)
        if self.with_cost:
            frame["cost"] = [c.kl_cost for c in self.manifest.candidates]
        if any(c.warning for c in self.manifest.candidates):
            frame["warning"] = [c.warning for c in self.manifest.candidates]
        return frame

    @property
    def members(self) -> list[int]:
        """Rows of the candidates that are members."""
        return [self.policies.index(m.policy) for m in self.manifest.members]

    def candidate(self, policy: str) -> Candidate:
        """The candidate of a name.

        Raises:
            BundleError: there is none.
        """
        for c in self.manifest.candidates:
            if c.policy == policy:
                return c
        near = get_close_matches(policy, self.policies, 3, 0.4)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise BundleError(f"{self.folder}: there is no candidate {policy!r}{hint}")

    def corner(self, trait: str) -> Candidate | None:
        """The first adapter that was trained for one trait alone; None without one."""
        return next(
            (
                c
                for c in self.manifest.candidates
                if c.kind == "adapter" and c.weights is not None and c.weights[trait] > 1 - 1e-9
            ),
            None,
        )

    def adapter_folder(self, policy: str) -> Path:
        """The folder of a policy's adapter; of one kept outside the candidates too.

        Raises:
            BundleError: it has none, or it isn't inside the bundle.
        """
        outside = {c.policy: c for c in self.manifest.outside}
        inside = (outside.get(policy) or self.candidate(policy)).adapter
        if inside is None:
            raise BundleError(
                f"{self.folder / MANIFEST_FILE}: {policy!r} has no adapter in this bundle"
            )
        folder = self.folder / inside
        if not folder.resolve().is_relative_to(self.folder.resolve()) or not folder.is_dir():
            raise BundleError(
                f"{folder}: no such folder inside the bundle; copy the adapter of {policy!r} there"
            )
        return folder

    @cached_property
    def prompts(self) -> pd.DataFrame:
        """prompt_id, split, text (and kind); empty when the bundle has no texts."""
        prompts = self._table("prompts.parquet", ["prompt_id", "split", "text"], scored=False)
        require_prompts(self.folder / "prompts.parquet", prompts)
        return prompts

    @cached_property
    def samples(self) -> pd.DataFrame:
        """policy, prompt_id, sample_id, text, tokens and one score column per trait.

        Empty without texts.
        """
        columns = ["policy", "prompt_id", "sample_id", "text", "tokens"]
        samples = self._table("samples.parquet", columns)
        everyone = [c.policy for c in (*self.manifest.candidates, *self.manifest.outside)]
        require_known(self.folder / "samples.parquet", samples, everyone, self.prompts)
        return samples

    @cached_property
    def pool_rewards(self) -> Floats | None:
        """Scores of the pool's answers, shape (prompts, samples, d); None without a pool.

        Raises:
            BundleError: prompts have different numbers of answers, or a score isn't in [0, 1].
        """
        pool = self._table("pool.parquet", ["source", "prompt_id", "sample_id"])
        if pool.empty:
            return None
        counts = pool.groupby("prompt_id", observed=True).size()
        rewards = pool.sort_values(["prompt_id", "source", "sample_id"], kind="stable")[
            self.traits
        ].to_numpy(float)
        path = self.folder / "pool.parquet"
        if counts.nunique() != 1:
            raise BundleError(
                f"{path}: every prompt needs equally many answers; {counts.idxmin()} has"
                f" {counts.min()}"
            )
        return rewards.reshape(len(counts), -1, len(self.traits))

    def read_tables(self) -> None:
        """Read all tables now: what can't be read is found, and later changes don't matter.

        Raises:
            BundleError: names the file, and the column and row where there is one.
        """
        for name in ("prompts", "samples", "pool_rewards"):
            getattr(self, name)

    def answers(self, prompt_id: str, policies: Sequence[str]) -> pd.DataFrame:
        """Recorded answers of `policies` to one prompt, in that order of policies."""
        found = self._by_prompt.get(prompt_id)
        if found is None:
            return self.samples.iloc[:0]
        rows = self.samples.iloc[found]
        rows = rows[rows["policy"].isin(list(policies))]
        place = {p: i for i, p in enumerate(policies)}
        return (
            rows.assign(_place=rows["policy"].map(place))
            .sort_values(["_place", "sample_id"])
            .drop(columns="_place")
        )

    def records(self, prompt_id: str) -> Mapping[str, Sequence[Mapping[Any, Any]]]:
        """Recorded answers to one prompt by policy, in the order of their samples.

        For pages that show the same prompt again and again; those of the last prompts are kept.
        """
        kept = self._records
        known = kept.get(prompt_id)
        if known is not None:
            return known
        found: dict[str, list[dict[Any, Any]]] = {}
        rows = self._by_prompt.get(prompt_id)
        if rows is not None:
            for row in (
                self.samples.iloc[rows].sort_values("sample_id", kind="stable").to_dict("records")
            ):
                found.setdefault(str(row["policy"]), []).append(row)
        for old in list(kept)[: max(0, len(kept) + 1 - KEPT_PROMPTS)]:
            kept.pop(old, None)  # another session may have been faster
        kept[prompt_id] = found
        return found

    @cached_property
    def _records(self) -> dict[str, dict[str, list[dict[Any, Any]]]]:
        return {}

    @cached_property
    def answered_prompts(self) -> frozenset[str]:
        """prompt_ids with at least one recorded answer."""
        return frozenset(self._by_prompt)

    @cached_property
    def _by_prompt(self) -> dict[str, NDArray[np.intp]]:
        groups = self.samples.groupby("prompt_id", sort=False, observed=True).indices
        return {str(p): np.asarray(rows, dtype=np.intp) for p, rows in groups.items()}

    def _table(self, name: str, columns: Sequence[str], scored: bool = True) -> pd.DataFrame:
        return read_table(self.folder / name, columns, self.traits if scored else ())


def read_bundle(folder: Path | str) -> Bundle:
    """Read and validate a bundle.

    Args:
        folder: with a portfolio.json of format version 1 or 2.

    Raises:
        BundleError: names the file and field, and how to fix it.
    """
    folder = Path(folder)
    path = folder / MANIFEST_FILE
    require_no_link(path)
    hint = f"a bundle folder holds a {MANIFEST_FILE}; restore it or rebuild the bundle"
    raw = read_json(path, BundleError, hint)
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if version == 1 and version is not True:
        raw = upgrade(raw)
    elif version is True or version not in (None, FORMAT_VERSION):
        raise BundleError(
            f"{path}: format_version {version} is not {FORMAT_VERSION}; open it with the version of"
            " palm-atlas that wrote it, or rebuild it"
        )
    try:
        return Bundle(folder, Manifest.model_validate(raw))
    except ValidationError as error:
        raise BundleError(f"{path}: {describe_validation_error(error)}") from error


def list_bundles(root: Path) -> list[str]:
    """Names of the bundles directly under `root`, `demo` first; replaced ones are left out."""
    names = [
        p.parent.name
        for p in root.glob(f"*/{MANIFEST_FILE}")
        if not p.parent.name.startswith(".") and not p.parent.name.endswith(PREVIOUS)
    ]
    return sorted(names, key=lambda n: (n != "demo", n))
