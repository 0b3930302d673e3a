"""Policies that win by cheating: the same text to everything, or texts that repeat over prompts."""

from __future__ import annotations

import pandas as pd

# Of the prompts: an answer that suits so many different questions is no answer to them.
MOST_SHARED = 0.2
# Different texts, of the prompts: fewer are a list that is gone through.
FEWEST_TEXTS = 0.5
FEWEST_PROMPTS = 5


def warnings_of(samples: pd.DataFrame, prompts: int) -> dict[str, str]:
    """What to say of policies whose texts repeat, by policy.

    Args:
        samples: columns policy, prompt_id and text.
        prompts: how many there are; of fewer than FEWEST_PROMPTS only a policy that says the same
            to all of them is named.
    """
    plain = samples["text"].astype(str).str.strip().str.lower()
    texts = samples.assign(text=plain).drop_duplicates(["policy", "prompt_id", "text"])
    counts = texts.groupby(["policy", "text"], observed=True, sort=False).size()
    found = {}
    by_policy = counts.groupby("policy", observed=True, sort=False)
    answers = texts.groupby("policy", observed=True, sort=False)["prompt_id"].nunique()
    columns = zip(by_policy.max().items(), by_policy.size(), answers, strict=True)
    for (policy, most), different, answered in columns:
        if most < 2 or (prompts < FEWEST_PROMPTS and most < prompts):
            continue
        if most / prompts <= MOST_SHARED:
            if different <= FEWEST_TEXTS * answered:
                found[str(policy)] = f"gives {different} answers to {answered} prompts"
            continue
        if most == prompts:
            found[str(policy)] = "gives the same answer to every prompt"
        else:
            found[str(policy)] = f"gives the same answer to {most} of {prompts} prompts"
    return found
