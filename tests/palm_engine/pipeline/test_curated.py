"""Prompts that are shown first: where members differ most, by the rule alone."""

from __future__ import annotations

import pandas as pd
import pytest

from palm_engine.pipeline.curated import curated_prompts

TRAITS = ["calm", "quick"]
# Id, kind, split; then text, tokens and scores of both members.
PROMPTS = [("r1", "risky", "choose"), ("r2", "risky", "certify"), ("t1", "risky", "train")]
PROMPTS += [(f"e{i}", "everyday", "choose") for i in range(1, 8)]
ANSWERS = {
    "r1": (("One.", 3, 0.5, 0.5), ("Two.", 3, 0.4, 0.5)),
    "r2": (("One.", 3, 0.9, 0.1), ("Two.", 3, 0.1, 0.9)),
    "t1": (("One.", 3, 1.0, 0.0), ("Two.", 3, 0.0, 1.0)),
    "e1": (("One.", 3, 0.8, 0.2), ("Two.", 3, 0.2, 0.3)),
    "e2": (("One.", 3, 0.8, 0.2), ("Two.", 3, 0.0, 0.0)),  # one is paid nothing
    "e3": (("You idiot!", 3, 0.8, 0.2), ("Two.", 3, 0.1, 0.3)),
    "e4": (("One.", 64, 0.8, 0.2), ("Two.", 3, 0.1, 0.3)),  # cut
    "e5": (("Same.", 3, 0.8, 0.2), ("Same.", 3, 0.1, 0.3)),
    "e6": (("A classic.", 3, 0.9, 0.2), ("Two.", 3, 0.1, 0.3)),  # "ass" is inside of a word only
}
SECOND = ("Nobody looks at second answers, ass.", 64, 0.0, 0.0)


def samples() -> pd.DataFrame:
    rows = [
        (policy, prompt, sample, *answer)
        for prompt, own in ANSWERS.items()
        for policy, first in zip(("m", "n"), own, strict=True)
        for sample, answer in enumerate((first, SECOND))
    ]
    columns = ["policy", "prompt_id", "sample_id", "text", "tokens", *TRAITS]
    return pd.DataFrame(rows, columns=columns)


def prompts() -> pd.DataFrame:
    frame = pd.DataFrame(PROMPTS, columns=["prompt_id", "kind", "split"])
    return frame.assign(text=frame["prompt_id"])


@pytest.mark.parametrize(
    ("without", "count", "expected"),
    [
        ((), 8, ("r2", "r1", "e6", "e1")),
        ((), 3, ("r2", "e6", "e1")),
        ((), 1, ("e6",)),
        (("r2", "e6"), 8, ("r1", "e1")),
    ],
)
def test_the_rule(without: tuple[str, ...], count: int, expected: tuple[str, ...]) -> None:
    found = curated_prompts(prompts(), samples(), ["m", "n"], TRAITS, 64, without, count)
    assert found == expected


def test_without_kinds_or_answers_there_is_an_order_or_nothing() -> None:
    plain = prompts().drop(columns="kind")
    found = curated_prompts(plain, samples(), ["m", "n"], TRAITS, 64)
    assert found == ("r2", "e6", "e1", "r1")
    assert curated_prompts(plain, samples().iloc[:0], ["m", "n"], TRAITS, 64) == ()
