"""The bundle on disk: a folder that is read, validated and written whole.

Texts and adapters are optional: a reward table alone is a valid bundle. Nothing outside the folder
is ever read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from palm_engine._files import whole_folder, write_whole
from palm_engine._types import Floats
from palm_engine.bundle.schema import FORMAT_VERSION, Candidate, Manifest
from palm_engine.bundle.upgrade import upgrade
from palm_engine.bundle.validation import describe_validation_error
from palm_engine.errors import BundleError
from palm_engine.geometry.policies import policy_points
from palm_engine.geometry.region import Region

MANIFEST_FILE = "portfolio.json"
TABLES = ("prompts.parquet", "pool.parquet", "samples.parquet")
# What a bundle may hold besides rewards, and what a newer one must hold too to take its place.
HOLDINGS = ("trained adapters", "recorded texts", "a certificate")


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

    @property
    def labels(self) -> list[str]:
        """Names of the candidates for people, in the order of the rows of `points`."""
        return [c.label for c in self.manifest.candidates]

    def label(self, policy: str) -> str:
        """The name of a candidate for people.

        Raises:
            BundleError: there is no such candidate.
        """
        return self.candidate(policy).label

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
        """The folder of a policy's adapter.

        Raises:
            BundleError: it has none, or it isn't inside the bundle.
        """
        inside = self.candidate(policy).adapter
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
        return self._table("prompts.parquet", ["prompt_id", "split", "text"])

    @cached_property
    def samples(self) -> pd.DataFrame:
        """policy, prompt_id, sample_id, text, tokens and one score column per trait.

        Empty without texts.
        """
        return self._table(
            "samples.parquet", ["policy", "prompt_id", "sample_id", "text", "tokens", *self.traits]
        )

    @cached_property
    def pool_rewards(self) -> Floats | None:
        """Scores of the pool's answers, shape (prompts, samples, d); None without a pool.

        Raises:
            BundleError: prompts have different numbers of answers, or a score isn't in [0, 1].
        """
        pool = self._table("pool.parquet", ["source", "prompt_id", "sample_id", *self.traits])
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
        if not ((rewards >= 0) & (rewards <= 1)).all():
            row, column = np.argwhere(~((rewards >= 0) & (rewards <= 1)))[0]
            raise BundleError(
                f"{path}: a score of {self.traits[column]!r} is {rewards[row, column]}, not in"
                " [0, 1]"
            )
        return rewards.reshape(len(counts), -1, len(self.traits))

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

    @cached_property
    def answered_prompts(self) -> frozenset[str]:
        """prompt_ids with at least one recorded answer."""
        return frozenset(self._by_prompt)

    @cached_property
    def _by_prompt(self) -> dict[str, NDArray[np.intp]]:
        groups = self.samples.groupby("prompt_id", sort=False, observed=True).indices
        return {str(p): np.asarray(rows, dtype=np.intp) for p, rows in groups.items()}

    def _table(self, name: str, columns: list[str]) -> pd.DataFrame:
        path = self.folder / name
        if path.is_symlink():
            raise BundleError(
                f"{path}: is a link; a bundle is read from its own folder only, so copy the file"
                " there"
            )
        if not path.is_file():
            return pd.DataFrame({c: pd.Series(dtype=object) for c in columns})
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise BundleError(
                f"{path}: not a readable Parquet file ({type(error).__name__}); rebuild it"
            ) from error
        missing = [c for c in columns if c not in frame]
        if missing:
            raise BundleError(f"{path}: column {missing[0]!r} is missing")
        return frame


def read_bundle(folder: Path | str) -> Bundle:
    """Read and validate a bundle.

    Args:
        folder: with a portfolio.json of format version 1 or 2.

    Raises:
        BundleError: names the file and field, and how to fix it.
    """
    folder = Path(folder)
    path = folder / MANIFEST_FILE
    if path.is_symlink():
        raise BundleError(
            f"{path}: is a link; a bundle is read from its own folder only, so copy the file there"
        )
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(
            f"{path}: no such file; a bundle folder holds a {MANIFEST_FILE}"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path}: not valid JSON ({error}); restore it or rebuild the bundle"
        ) from error
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if version == 1:
        raw = upgrade(raw)
    elif version not in (None, FORMAT_VERSION):
        raise BundleError(
            f"{path}: format_version {version} is not {FORMAT_VERSION}; open it with the version of"
            " palm-atlas that wrote it, or rebuild it"
        )
    try:
        return Bundle(folder, Manifest.model_validate(raw))
    except ValidationError as error:
        raise BundleError(f"{path}: {describe_validation_error(error)}") from error


def list_bundles(root: Path) -> list[str]:
    """Names of the bundles directly under `root`, `demo` first."""
    names = [
        p.parent.name for p in root.glob(f"*/{MANIFEST_FILE}") if not p.parent.name.startswith(".")
    ]
    return sorted(names, key=lambda n: (n != "demo", n))


def check_target(folder: Path, keeps: Collection[str] = ()) -> None:
    """Check that writing a bundle would delete nothing that the new one doesn't have.

    Args:
        folder: to write to.
        keeps: what the new bundle holds besides rewards: some of HOLDINGS.

    Raises:
        BundleError: the folder is something else than a bundle, or holds adapters, texts or a
            certificate that the new one lacks.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise BundleError(f"{folder}: is a file or a link; choose a new folder, such as {folder}-2")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / MANIFEST_FILE).is_file():
        raise BundleError(
            f"{folder}: it is there already and isn't a bundle; choose a new folder, such as"
            f" {folder}/demo"
        )
    lost = [what for what in HOLDINGS if what not in keeps and _holds(folder, what)]
    if lost:
        raise BundleError(
            f"{folder}: holds {', '.join(lost)}, which would be deleted; choose another folder, or"
            " move this one away"
        )


def _holds(folder: Path, what: str) -> bool:
    if what == "trained adapters":
        return any((folder / "adapters").glob("*/*.safetensors"))
    if what == "a certificate":
        try:
            return read_bundle(folder).manifest.certificate is not None
        except BundleError:
            # It can't be read, so nobody can say that nothing in it matters.
            return True
    return any((folder / name).is_file() for name in TABLES)


def write_bundle(
    folder: Path,
    manifest: Manifest,
    tables: dict[str, pd.DataFrame],
    adapters: dict[str, Path] | None = None,
) -> Bundle:
    """Write a bundle whole: into a temporary folder beside it, read back, then put in its place.

    Args:
        folder: to write to.
        manifest: the content of portfolio.json.
        tables: `prompts`, `pool`, `samples`, as far as there are some.
        adapters: folders to copy, by policy.

    Raises:
        BundleError: it would replace a bundle that holds more (see `check_target`).
    """
    keeps = [
        what
        for what, there in zip(
            HOLDINGS, (bool(adapters), bool(tables), manifest.certificate is not None), strict=True
        )
        if there
    ]
    check_target(folder, keeps)
    with whole_folder(folder) as part:
        for name, frame in tables.items():
            frame.to_parquet(part / f"{name}.parquet", index=False, compression="zstd")
        for policy, source in (adapters or {}).items():
            target = part / "adapters" / policy
            target.mkdir(parents=True)
            for file in ("adapter_config.json", "adapter_model.safetensors"):
                shutil.copyfile(source / file, target / file)
        (part / MANIFEST_FILE).write_text(_as_text(manifest), encoding="utf-8")
        read_bundle(part)
    return read_bundle(folder)


def rewrite_manifest(bundle: Bundle, manifest: Manifest) -> Bundle:
    """Put another manifest in the place of a bundle's own; nothing else in the folder changes.

    Args:
        bundle: the one to change.
        manifest: the new content of its portfolio.json.

    Raises:
        OSError: the file can't be written; the old one stays.
    """
    write_whole(bundle.folder / MANIFEST_FILE, _as_text(manifest))
    return read_bundle(bundle.folder)


def _as_text(manifest: Manifest) -> str:
    return manifest.model_dump_json(indent=1, exclude_none=True) + "\n"
