"""Blind reading: answers of members, base and prompted rivals, graded by who can't see whose.

Rewards are models; a reading says whether a person (or another reader) agrees with them. Two sheets
are drawn from the recorded answers to certify prompts: single answers to grade, and pairs of a
trait's corner adapter and a rival to decide between. Order and sides are shuffled, and a key that
readers don't get says which policy answered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import Agreement, Reading, ReadPolicy, ReadPreference
from palm_engine.errors import InvalidInputError

SPLIT = "certify"
MOST_GRADE = 2
PAIR_COLUMNS = ["item", "trait", "prompt", "first", "second", "better"]
# As spreadsheets write them.
TRUE = frozenset({"true", "1", "1.0"})
FALSE = frozenset({"false", "0", "0.0"})
PAIR_KEY_COLUMNS = ["item", "trait", "adapter", "rival", "prompt_id", "adapter_is_first"]
# With a space, so that no trait has the name.
FIT = "fits prompt"


@dataclass(frozen=True)
class Sheets:
    """What is read, and the key.

    Attributes:
        answers: item, prompt, answer, and empty columns to grade: FIT and one per trait.
        pairs: item, trait, prompt, first, second, and an empty column `better`.
        answers_key: item, policy, prompt_id.
        pairs_key: item, trait, adapter, rival, prompt_id, adapter_is_first.
    """

    answers: pd.DataFrame
    pairs: pd.DataFrame
    answers_key: pd.DataFrame
    pairs_key: pd.DataFrame


def reading_sheets(bundle: Bundle, prompts: int = 30, seed: int = 0) -> Sheets:
    """Draw the sheets of a blind reading.

    Answers are graded of the members, the base and, for each trait, the corner adapter and the best
    prompted policy: all of them on the same prompts. Pairs set each trait's corner adapter against
    the base and that prompted policy.

    Args:
        bundle: with recorded answers and members.
        prompts: certify prompts, drawn at random, equally many of each kind where kinds are known.
        seed: of the draws.

    Raises:
        InvalidInputError: there are no members, or fewer than two prompts that all answered.
    """
    if not bundle.members:
        raise InvalidInputError(f"{bundle.folder}: there are no members to read")
    rivals = trait_rivals(bundle)
    names = [bundle.policies[i] for i in bundle.members]
    read = list(dict.fromkeys([*names, *(p for own in rivals.values() for p in own)]))
    rng = np.random.default_rng(seed)
    chosen = _prompts(bundle, read, prompts, rng)
    first = bundle.samples[bundle.samples["sample_id"] == bundle.samples["sample_id"].min()]
    texts = first.set_index(["policy", "prompt_id"])["text"]
    rows = [(p, prompt_id) for prompt_id in chosen.index for p in read]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    answers = pd.DataFrame(
        [
            {"item": i, "prompt": chosen[prompt_id], "answer": str(texts[policy, prompt_id])}
            for i, (policy, prompt_id) in enumerate(rows)
        ]
    ).assign(**dict.fromkeys([FIT, *bundle.traits], ""))
    answers_key = pd.DataFrame(rows, columns=["policy", "prompt_id"])
    answers_key.insert(0, "item", range(len(rows)))
    duels = [
        (trait, own[0], rival, prompt_id)
        for trait, own in rivals.items()
        for rival in own[1:]
        for prompt_id in chosen.index
    ]
    duels = [duels[i] for i in rng.permutation(len(duels))]
    swapped = rng.random(len(duels)) < 0.5
    pairs = []
    pairs_key = []
    for i, (trait, adapter, rival, prompt_id) in enumerate(duels):
        sides = [str(texts[p, prompt_id]) for p in (adapter, rival)]
        if swapped[i]:
            sides.reverse()
        pairs.append(
            {
                "item": i,
                "trait": trait,
                "prompt": chosen[prompt_id],
                "first": sides[0],
                "second": sides[1],
                "better": "",
            }
        )
        pairs_key.append(
            {
                "item": i,
                "trait": trait,
                "adapter": adapter,
                "rival": rival,
                "prompt_id": prompt_id,
                "adapter_is_first": not swapped[i],
            }
        )
    return Sheets(
        answers,
        pd.DataFrame(pairs, columns=PAIR_COLUMNS),
        answers_key,
        pd.DataFrame(pairs_key, columns=PAIR_KEY_COLUMNS),
    )


def trait_rivals(bundle: Bundle) -> dict[str, list[str]]:
    """For each trait: its corner adapter, the base and the prompted policy that is best in it.

    Traits without a corner adapter, and rivals that aren't there, are left out.
    """
    found = {}
    candidates = bundle.manifest.candidates
    base = [c.policy for c in candidates if c.kind == "base"][:1]
    for trait in bundle.traits:
        corner = bundle.corner(trait)
        prompted = sorted(
            (c for c in candidates if c.kind == "prompted"), key=lambda c: -c.rewards[trait]
        )
        if corner is not None:
            found[trait] = [corner.policy, *base, *(c.policy for c in prompted[:1])]
    return found


def reading_result(
    bundle: Bundle,
    answers: pd.DataFrame,
    answers_key: pd.DataFrame,
    pairs: pd.DataFrame,
    pairs_key: pd.DataFrame,
    reader: str,
) -> Reading:
    """What readers found.

    Args:
        bundle: that the sheets were drawn from.
        answers: as in `Sheets`, graded 0 to MOST_GRADE.
        answers_key: as in `Sheets`.
        pairs: as in `Sheets`, `better` 1, 2 or 0 for neither.
        pairs_key: as in `Sheets`.
        reader: who read, in words.

    Raises:
        InvalidInputError: a grade is missing or out of range, or sheets and keys differ; names the
            item.
    """
    answers_key = _key(bundle, answers_key, "answers-key", ("policy",))
    pairs_key = _key(bundle, pairs_key, "pairs-key", ("adapter", "rival"))
    grades = answers_key.merge(_numbers(answers, [FIT, *bundle.traits], MOST_GRADE), on="item")
    if len(grades) < len(answers_key):
        raise InvalidInputError("answers: items of the key are missing")
    by_policy = []
    for policy, own in grades.groupby("policy", sort=False):
        by_policy.append(
            ReadPolicy(
                policy=str(policy),
                answers=len(own),
                fits=float((own[FIT] == MOST_GRADE).mean()),
                on_subject=float((own[FIT] > 0).mean()),
                grades={t: float(own[t].mean()) for t in bundle.traits},
            )
        )
    decided = pairs_key.merge(_numbers(pairs, ["better"], 2), on="item")
    if len(decided) < len(pairs_key):
        raise InvalidInputError("pairs: items of the key are missing")
    preferences = []
    for (trait, adapter, rival), own in decided.groupby(["trait", "adapter", "rival"], sort=False):
        side = np.where(own["adapter_is_first"].astype(bool), 1, 2)
        better = own["better"].to_numpy()
        preferences.append(
            ReadPreference(
                trait=str(trait),
                adapter=str(adapter),
                rival=str(rival),
                won=int((better == side).sum()),
                lost=int(((better != side) & (better > 0)).sum()),
                tied=int((better == 0).sum()),
            )
        )
    return Reading(
        reader=reader,
        split=SPLIT,
        prompts=int(answers_key["prompt_id"].nunique()),
        policies=tuple(sorted(by_policy, key=lambda p: bundle.policies.index(p.policy))),
        preferences=tuple(preferences),
        agreement=tuple(_agreement(bundle, grades)),
    )


def _agreement(bundle: Bundle, grades: pd.DataFrame) -> list[Agreement]:
    """Rank correlation of grades and recorded rewards, over all answers that were read."""
    from scipy.stats import spearmanr  # takes 25 MB, which no page needs

    first = bundle.samples[bundle.samples["sample_id"] == bundle.samples["sample_id"].min()]
    joined = grades.merge(
        first[["policy", "prompt_id", *bundle.traits]],
        on=["policy", "prompt_id"],
        suffixes=("", "_reward"),
    )
    found = []
    for trait in bundle.traits:
        # A grade says how much of a trait is there, a reward counts it in fitting answers only.
        grade = joined[trait] * (joined[FIT] > 0)
        if grade.nunique() > 1 and joined[f"{trait}_reward"].nunique() > 1:
            value = float(spearmanr(grade, joined[f"{trait}_reward"]).statistic)
            found.append(Agreement(trait=trait, spearman=value, answers=len(joined)))
    return found


def _numbers(sheet: pd.DataFrame, columns: Sequence[str], most: int) -> pd.DataFrame:
    for column in ("item", *columns):
        if column not in sheet:
            raise InvalidInputError(f"the sheet has no column {column!r}")
    made = sheet[["item", *columns]].apply(pd.to_numeric, errors="coerce")
    _require_items(made["item"], sheet["item"], "the sheet")
    bad = ~(made[list(columns)].isin(range(most + 1)))
    if bad.to_numpy().any():
        row, column = np.argwhere(bad.to_numpy())[0]
        raise InvalidInputError(
            f"item {sheet['item'].iloc[row]}, {columns[column]}:"
            f" {sheet[columns[column]].iloc[row]!r} is none of 0 to {most}"
        )
    return pd.DataFrame(made.astype(int))


def _key(bundle: Bundle, key: pd.DataFrame, name: str, policies: Sequence[str]) -> pd.DataFrame:
    """A key whose items are whole numbers, each once, and which names what the bundle has.

    Raises:
        InvalidInputError: it isn't so; names the item.
    """
    known: dict[str, Collection[str]] = {
        "prompt_id": set(bundle.prompts["prompt_id"].astype(str)),
        **dict.fromkeys(policies, bundle.policies),
    }
    if "adapter" in policies:
        known |= {"trait": bundle.traits, "adapter_is_first": TRUE | FALSE}
    for column in ("item", *known):
        if column not in key:
            raise InvalidInputError(f"{name}: there is no column {column!r}")
    if key.empty and "policy" in policies:
        raise InvalidInputError(f"{name}: there are no rows")
    items = pd.to_numeric(key["item"], errors="coerce")
    _require_items(items, key["item"], name)
    for column, values in known.items():
        told = key[column].astype(str)
        told = told.str.casefold() if column == "adapter_is_first" else told
        odd = ~told.isin([str(v) for v in values])
        if odd.any():
            row = key[odd].iloc[0]
            raise InvalidInputError(
                f"{name}, item {row['item']}, {column}: {row[column]!r} isn't one of the bundle's;"
                " the sheets belong to another bundle, or the key was changed"
            )
    made = key.assign(item=items.astype(int))
    if "adapter" in policies:
        made["adapter_is_first"] = key["adapter_is_first"].astype(str).str.casefold().isin(TRUE)
    return made


def _require_items(items: pd.Series[float], told: pd.Series[str], name: str) -> None:
    """Check that items are whole numbers, each once.

    Raises:
        InvalidInputError: one isn't.
    """
    odd = items.isna() | (items % 1 != 0)
    if odd.any():
        raise InvalidInputError(f"{name}: item {told[odd].iloc[0]!r} is no whole number")
    if items.duplicated().any():
        raise InvalidInputError(
            f"{name}: item {told[items.duplicated()].iloc[0]} stands there twice; keep one"
        )


def _prompts(
    bundle: Bundle, policies: Sequence[str], count: int, rng: np.random.Generator
) -> pd.Series[str]:
    """Texts of prompts that all of the policies answered, by id; equally many of each kind.

    Raises:
        InvalidInputError: there are fewer than two.
    """
    own = bundle.prompts[bundle.prompts["split"] == SPLIT]
    rows = bundle.samples[bundle.samples["policy"].isin(policies)]
    counts = rows.groupby("prompt_id", observed=True)["policy"].nunique()
    own = own[own["prompt_id"].isin(counts.index[counts == len(policies)])]
    if len(own) < 2:
        raise InvalidInputError(
            f"{bundle.folder}: fewer than two {SPLIT} prompts were answered by all policies that"
            " are read"
        )
    kinds = own["kind"] if "kind" in own else pd.Series("", index=own.index)
    shuffled = own.assign(kind=kinds).iloc[rng.permutation(len(own))]
    turn = shuffled.groupby("kind").cumcount()
    chosen = shuffled.iloc[np.argsort(turn.to_numpy(), kind="stable")[:count]]
    return chosen.set_index("prompt_id")["text"].astype(object)


def reading_lines(bundle: Bundle, found: Reading) -> list[str]:
    """What a reading found, for a terminal.

    Args:
        bundle: that was read.
        found: as recorded in it.
    """
    lines = [f"{found.answers} answers to {found.prompts} prompts, read by {found.reader}."]
    for p in found.policies:
        grades = ", ".join(f"{t} {g:.2f}" for t, g in p.grades.items())
        lines.append(
            f"{bundle.label(p.policy)}: {p.fits:.0%} fit, {p.on_subject:.0%} at least in part;"
            f" grades 0 to {MOST_GRADE}: {grades}"
        )
    for d in found.preferences:
        lines.append(
            f"{d.trait}: {bundle.label(d.adapter)} against {bundle.label(d.rival)}: preferred in"
            f" {d.won} of {d.won + d.lost} decided pairs, {d.tied} undecided"
        )
    for a in found.agreement:
        lines.append(f"{a.trait}: rank correlation of grades and rewards {a.spearman:.2f}")
    return lines
