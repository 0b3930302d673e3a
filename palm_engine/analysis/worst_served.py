"""What a portfolio loses and where.

The weights that it serves worst, and the prompts where its answer falls behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.envelope import best_policy, envelope_vertices
from palm_engine.geometry.policies import as_points
from palm_engine.geometry.region import Region


@dataclass(frozen=True)
class WorstServed:
    """Weights where much is lost.

    Attributes:
        weights: shape (d,).
        gap: additive.
        member: row of the picked member.
        best: row of the best candidate.
    """

    weights: Floats
    gap: float
    member: int
    best: int


def worst_served(
    points: ArrayLike, portfolio: list[int], count: int = 5, region: Region | None = None
) -> list[WorstServed]:
    """The weights where the gap is largest, one per best candidate, worst first.

    Exact: between the members' envelope vertices the gap is never larger. Gaps of 0 are left out.

    Args:
        points: candidates, shape (n, d).
        portfolio: rows of the members.
        count: at most this many.
        region: the weights that count; None: all.
    """
    u = as_points(points)
    ours = u[portfolio]
    vertices = envelope_vertices(ours, region)
    member = best_policy(ours, vertices)
    best = best_policy(u, vertices)
    gaps = (vertices * (u[best] - ours[member])).sum(axis=1)
    found: dict[int, WorstServed] = {}
    for i in np.argsort(-gaps, kind="stable"):
        if gaps[i] > 1e-12:
            row = int(best[i])
            found.setdefault(
                row, WorstServed(vertices[i], float(gaps[i]), portfolio[int(member[i])], row)
            )
    return list(found.values())[:count]


@dataclass(frozen=True)
class WorstUser:
    """The user who is served worst, on the prompt where the member is furthest behind.

    Attributes:
        served: where that is.
        prompt_id: of the prompt.
        member_text: the picked member's answer.
        best_text: the best candidate's.
    """

    served: WorstServed
    prompt_id: str
    member_text: str
    best_text: str


def worst_user(bundle: Bundle, portfolio: Sequence[int]) -> WorstUser | None:
    """The worst-served user with both answers; None where nothing is lost or no answers are kept.

    Args:
        bundle: that holds candidates and answers.
        portfolio: rows of the members.
    """
    found = worst_served(bundle.points, list(portfolio), 1, bundle.region)
    if not found or bundle.samples.empty:
        return None
    names = [bundle.policies[row] for row in (found[0].member, found[0].best)]
    held_out = bundle.prompts.loc[bundle.prompts["split"] != "train", "prompt_id"]
    rows = bundle.samples[bundle.samples["prompt_id"].isin(held_out)]
    if not set(names) <= set(rows["policy"]):
        return None
    member, best = names
    behind = furthest_behind(rows, member, best, found[0].weights, bundle.traits)
    if behind.empty:
        return None
    prompt = str(behind["prompt_id"].iloc[0])
    first = bundle.answers(prompt, names).drop_duplicates("policy").set_index("policy")["text"]
    return WorstUser(found[0], prompt, str(first[member]), str(first[best]))


def furthest_behind(
    samples: pd.DataFrame, member: str, best: str, w: Floats, traits: list[str]
) -> pd.DataFrame:
    """Prompts by how far a member's answers fall behind another policy's, furthest first.

    Args:
        samples: policy, prompt_id and one score column per trait.
        member: name of the member.
        best: name of the other policy.
        w: weights, shape (d,).
        traits: names of the d traits.

    Returns:
        prompt_id, member_value, best_value, gap: means over a prompt's answers, without KL cost;
        prompts that one of them didn't answer are left out.

    Raises:
        InvalidInputError: a policy has no answers.
    """
    rows = samples[samples["policy"].isin([member, best])]
    value = rows[traits].to_numpy(dtype=float) @ np.asarray(w, dtype=float)
    frame = pd.DataFrame(
        {"prompt_id": rows["prompt_id"].astype(str), "policy": rows["policy"].astype(str)}
    )
    means = frame.assign(value=value).pivot_table(
        index="prompt_id", columns="policy", values="value", aggfunc="mean"
    )
    if member not in means or best not in means:
        raise InvalidInputError(f"no recorded answers of {member!r} and {best!r} to compare")
    table = pd.DataFrame({"member_value": means[member], "best_value": means[best]}).dropna()
    table["gap"] = table["best_value"] - table["member_value"]
    return table.sort_values("gap", ascending=False, kind="stable").reset_index()
