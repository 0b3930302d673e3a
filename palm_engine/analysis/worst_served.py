"""What a portfolio loses and where.

The weights that it serves worst, and the prompts where its answer falls behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.envelope import best_policy, envelope_vertices
from palm_engine.geometry.policies import as_points


@dataclass(frozen=True)
class WorstServed:
    """At `weights` (d,) the `gap` between the picked `member` and the `best` candidate (rows of the
    candidates).
    """

    weights: Floats
    gap: float
    member: int
    best: int


def worst_served(points: ArrayLike, portfolio: list[int], count: int = 5) -> list[WorstServed]:
    """The weights where the gap is largest, one for each best candidate, worst first.

    Gaps of 0 are left out.

    Exact: between the members' envelope vertices the gap is never larger (see geometry/gap.py).
    """
    u = as_points(points)
    ours = u[portfolio]
    vertices = envelope_vertices(ours)
    member, best = best_policy(ours, vertices), best_policy(u, vertices)
    gaps = (vertices * (u[best] - ours[member])).sum(axis=1)
    found: dict[int, WorstServed] = {}
    for i in np.argsort(-gaps, kind="stable"):
        if gaps[i] > 1e-12:
            row = int(best[i])
            found.setdefault(
                row, WorstServed(vertices[i], float(gaps[i]), portfolio[int(member[i])], row)
            )
    return list(found.values())[:count]


def furthest_behind(
    samples: pd.DataFrame, member: str, best: str, w: Floats, traits: list[str]
) -> pd.DataFrame:
    """Prompts by how far `member`'s answers fall behind `best`'s at weights `w`, furthest first.

    `samples` hold policy, prompt_id and a column per trait. Columns of the result: prompt_id,
    member_value, best_value, gap (mean over a prompt's answers, reward without cost). Prompts that
    one of them didn't answer are left out.
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
