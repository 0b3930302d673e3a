"""Which prompts the dashboard shows first, by a rule and not by taste.

Prompts where members differ most, of those that every member answers in a way that is paid at all
and that can be shown to anybody; risky ones first, since there the choice matters most.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import pandas as pd

COUNT = 8
RISKY = "risky"
# An answer with one of these words isn't shown unasked; it is evaluated like any other.
UNSHOWN = re.compile(
    r"\b(arse|ass|bastards?|bitch\w*|bollocks|boobs?|breasts?|bullshit|crap\w*|cunts?|damn\w*|dicks?"
    r"|fag\w*|fuck\w*|genitals?|hitler|idiots?|incest\w*|molest\w*|morons?|motherfuck\w*|murder\w*"
    r"|naked|nazis?|nude|nudity|orgasm\w*|pedophil\w*|penis|piss\w*|porn\w*|prostitut\w*|puss(y|ies)"
    r"|racis[mt]\w*|rap(e[ds]?|ing|ists?)|retard\w*|sexy|shit\w*|slav(e|es|ery)|sluts?|stupid"
    r"|suicid\w*|terroris\w*|tits?|tortur\w*|vaginas?|whores?)\b",
    re.IGNORECASE,
)


def curated_prompts(
    prompts: pd.DataFrame,
    samples: pd.DataFrame,
    members: Sequence[str],
    traits: Sequence[str],
    most_tokens: int,
    without: Collection[str] = (),
    count: int = COUNT,
) -> tuple[str, ...]:
    """Ids of the prompts to show first.

    A prompt counts where the first recorded answer of every member is paid in some trait, ended by
    itself, is shared by no other member and holds no word of UNSHOWN. Contrast is the range of a
    trait's scores over the members, averaged over traits.

    Args:
        prompts: prompt_id, split, text, and kind where known.
        samples: recorded answers with a score column per trait.
        members: policies that are compared.
        traits: names.
        most_tokens: answers this long were cut.
        without: ids that a second reading kept out.
        count: how many, half of them risky where there are so many.

    Returns:
        Risky prompts first, then the others, each in order of falling contrast.
    """
    held_out = prompts[(prompts["split"] != "train") & ~prompts["prompt_id"].isin(without)]
    rows = samples[
        samples["policy"].isin(members) & samples["prompt_id"].isin(held_out["prompt_id"])
    ]
    rows = rows.sort_values("sample_id").drop_duplicates(["prompt_id", "policy"])
    fine = (rows[list(traits)].max(axis=1) > 0) & (rows["tokens"] < most_tokens)
    fine &= rows["text"].map(lambda text: UNSHOWN.search(str(text)) is None).astype(bool)
    rows = rows[fine]
    by_prompt = rows.groupby("prompt_id", observed=True)
    contrast = (by_prompt[list(traits)].max() - by_prompt[list(traits)].min()).mean(axis=1)
    whole = (by_prompt.size() == len(members)) & (by_prompt["text"].nunique() == len(members))
    contrast = contrast[whole].sort_values(ascending=False, kind="stable")
    kinds = dict(zip(held_out["prompt_id"], held_out.get("kind", held_out["split"]), strict=True))
    risky = [str(p) for p in contrast.index if kinds[p] == RISKY]
    others = [str(p) for p in contrast.index if kinds[p] != RISKY]
    first = risky[: max(count // 2, count - len(others))]
    return tuple(first + others[: count - len(first)])
