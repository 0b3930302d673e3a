"""Columns of public tables are recognised."""

from __future__ import annotations

import pandas as pd
import pytest

from palm_engine.tables.columns import recognise


def frame(header: str, *rows: str) -> pd.DataFrame:
    return pd.DataFrame([r.split(",") for r in rows], columns=header.split(","))


@pytest.mark.parametrize(
    ("header", "row", "policy", "prompt", "suggested"),
    [
        ("policy,safety,humor", "a,.1,.2", "policy", None, ["safety", "humor"]),
        ("Model,Win Rate,avg_length", "a,97%,2049", "Model", None, ["Win Rate", "avg_length"]),
        (",win_rate,standard_error,n_total", "a,9,1,8", "", None, ["win_rate"]),
        ("model,prompt,score", "a,Why?,.2", "model", "prompt", ["score"]),
        (
            "model_name,question_id,acc,acc_stderr,rank",
            "a,q1,.2,.1,1",
            "model_name",
            "question_id",
            ["acc"],
        ),
        (
            "system,instruction,output,quality,seed",
            "a,do it,done,.3,1",
            "system",
            "instruction",
            ["quality"],
        ),
        (
            "no,model,question_id,turn,score,tstamp,votes,global_step",
            "1,a,q1,1,7,1718000000,12,300",
            "model",
            "question_id",
            ["score"],
        ),
        ("engine,MMLU,GSM8K", "a,.1,.2", "engine", None, ["MMLU", "GSM8K"]),
    ],
)
def test_headers(
    header: str, row: str, policy: str, prompt: str | None, suggested: list[str]
) -> None:
    cells = row.split(",")
    other = ["b" if i == header.split(",").index(policy) else c for i, c in enumerate(cells)]
    changed = [c + "1" if c.replace(".", "").isdigit() else c.replace("97%", "54%") for c in other]
    columns = recognise(frame(header, row, ",".join(changed)))
    assert columns.policy == policy
    assert columns.prompt == prompt
    assert list(columns.suggested) == suggested
    assert set(suggested) <= set(columns.numeric)


def test_answers_and_costs_are_no_traits() -> None:
    columns = recognise(
        frame(
            "policy,prompt_id,prompt,text,sample_id,tokens,cost,care",
            "a,p1,Why so?,Because.,0,3,.1,.2",
            "b,p1,Why so?,No.,0,9,.2,.9",
        )
    )
    assert (columns.prompt, columns.prompt_text, columns.text) == ("prompt_id", "prompt", "text")
    assert (columns.sample, columns.cost, columns.tokens) == ("sample_id", "cost", "tokens")
    assert columns.suggested == ("care",)


def test_constants_are_not_suggested_and_numbers_are_no_names() -> None:
    columns = recognise(frame("id,x,y", "1,7,.1", "2,7,.3"))
    assert columns.policy is None
    assert columns.suggested == ("y",)
