"""Prompts are checked row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from palm_engine.errors import ConfigError
from palm_engine.pipeline.sample import read_prompts

ROOT = Path(__file__).resolve().parents[3]


def test_prompt_rows_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("prompt_id,kind,split,text\na,x,train,Hi?\na,x,train,Ho?\n")
    with pytest.raises(ConfigError, match="row 3: prompt_id 'a'"):
        read_prompts(path)


def test_the_demo_prompts_are_stratified_and_have_no_near_duplicates_across_splits() -> None:
    prompts = read_prompts(ROOT / "data" / "prompts.csv")
    counts = prompts.groupby(["split", "kind"]).size().unstack()
    assert list(counts.loc["certify"].dropna()) == [60] * 4
    assert counts.loc["choose"].sum() >= 180
    assert counts.loc["train"].sum() >= 300
    stop = {
        "a",
        "an",
        "the",
        "is",
        "are",
        "do",
        "does",
        "i",
        "my",
        "to",
        "of",
        "for",
        "in",
        "on",
        "with",
        "how",
    }
    stop |= {"what", "why", "can", "me", "tell", "give", "be", "it", "and", "or", "at"}
    words = [set(t.lower().strip("?.!").replace("'s", "").split()) - stop for t in prompts["text"]]
    splits = list(prompts["split"])
    texts = list(prompts["text"])
    for i in range(len(words)):
        for j in range(i):
            if splits[i] != splits[j] and len(words[i] | words[j]) > 2:
                share = len(words[i] & words[j]) / len(words[i] | words[j])
                assert share <= 0.6, (texts[i], texts[j])
