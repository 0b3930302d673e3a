"""Policies that win by cheating: the same text to everything, or texts that repeat over prompts."""

from __future__ import annotations

import pandas as pd

# Of the prompts: an answer that suits so many different questions is no answer to them.
MOST_SHARED = 0.2
FEWEST_PROMPTS = 5


def warnings_of(samples: pd.DataFrame, prompts: int) -> dict[str, str]:
    """What to say of policies whose texts repeat, by policy.

    Args:
        samples: columns policy, prompt_id and text.
        prompts: how many there are; fewer than FEWEST_PROMPTS tell nothing.
    """
    if prompts < FEWEST_PROMPTS:
        return {}
    plain = samples["text"].astype(str).str.strip().str.lower()
    texts = samples.assign(text=plain).drop_duplicates(["policy", "prompt_id", "text"])
    counts = texts.groupby(["policy", "text"], observed=True, sort=False).size()
    found = {}
    for policy, most in counts.groupby("policy", observed=True, sort=False).max().items():
        if most < 2 or most / prompts <= MOST_SHARED:
            continue
        if most == prompts:
            found[str(policy)] = "gives the same answer to every prompt"
        else:
            found[str(policy)] = f"gives the same answer to {most} of {prompts} prompts"
    return found
