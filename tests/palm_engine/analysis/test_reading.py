"""Blind reading: nobody can tell whose an answer is, and what readers found is counted right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from palm_engine.analysis.guarantee import statements
from palm_engine.analysis.reading import (
    FIT,
    Sheets,
    reading_lines,
    reading_result,
    reading_sheets,
    trait_rivals,
)
from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.bundle.schema import Reading
from palm_engine.bundle.writing import rewrite_manifest, write_bundle
from palm_engine.cli.main import app
from palm_engine.errors import InvalidInputError
from tests.support.bundles import make_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """m1 to m3 are members and corners, m5 runs under a prompt of its own; texts are all unlike."""
    made = make_bundle(tmp_path / "read")
    corners = dict(zip(("m1", "m2", "m3"), np.eye(3), strict=True))
    candidates = tuple(
        c.model_copy(
            update={
                "kind": "prompted" if c.policy == "m5" else c.kind,
                "weights": dict(zip(made.traits, map(float, corners[c.policy]), strict=True))
                if c.policy in corners
                else None,
            }
        )
        for c in made.manifest.candidates
    )
    return rewrite_manifest(made, made.manifest.model_copy(update={"candidates": candidates}))


def graded(sheets: Sheets, bundle: Bundle) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sheets as a reader leaves them who likes m1 to m3 in their own traits, and pairs by sides."""
    answers = sheets.answers.copy()
    key = sheets.answers_key.set_index("item")["policy"]
    answers[FIT] = [2 if key[i] in ("m1", "m2") else int(key[i] == "m3") for i in answers["item"]]
    for trait, own in zip(bundle.traits, ("m1", "m2", "m3"), strict=True):
        answers[trait] = [2 if key[i] == own else 0 for i in answers["item"]]
    pairs = sheets.pairs.copy()
    pairs["better"] = [
        0 if i % 5 == 0 else 1 if first else 2
        for i, first in zip(pairs["item"], sheets.pairs_key["adapter_is_first"], strict=True)
    ]
    return answers, pairs


def test_sheets_hold_all_on_the_same_prompts_and_no_names(bundle: Bundle) -> None:
    assert trait_rivals(bundle) == {
        t: [m, "base", "m5"] for t, m in zip(bundle.traits, ("m1", "m2", "m3"), strict=True)
    }
    sheets = reading_sheets(bundle, prompts=2, seed=3)
    read = {"m1", "m2", "m3", "base", "m5"}
    counts = sheets.answers_key.groupby("prompt_id")["policy"].agg(set)
    assert len(counts) == 2
    assert all(policies == read for policies in counts)
    certify = set(bundle.prompts.loc[bundle.prompts["split"] == "certify", "prompt_id"])
    assert set(sheets.answers_key["prompt_id"]) <= certify
    assert len(sheets.pairs) == 3 * 2 * 2
    for table in (sheets.answers, sheets.pairs):
        assert not {"policy", "prompt_id", "adapter", "rival"} & set(table.columns)
    # The key says whose the texts are.
    recorded = bundle.samples[bundle.samples["sample_id"] == 0].set_index(["policy", "prompt_id"])
    for row, text in zip(
        sheets.answers_key.to_dict("records"), sheets.answers["answer"], strict=True
    ):
        assert recorded.loc[(row["policy"], row["prompt_id"]), "text"] == text
    sides = sheets.pairs_key["adapter_is_first"]
    for row, pair in zip(
        sheets.pairs_key.to_dict("records"), sheets.pairs.to_dict("records"), strict=True
    ):
        side = "first" if row["adapter_is_first"] else "second"
        assert recorded.loc[(row["adapter"], row["prompt_id"]), "text"] == pair[side]
    assert 0 < sides.sum() < len(sides)


def test_what_readers_found_is_counted(bundle: Bundle) -> None:
    sheets = reading_sheets(bundle, prompts=3)
    answers, pairs = graded(sheets, bundle)
    shuffled = answers.sample(frac=1, random_state=1)
    found = reading_result(bundle, shuffled, sheets.answers_key, pairs, sheets.pairs_key, "a test")
    by_name = {p.policy: p for p in found.policies}
    assert (by_name["m1"].fits, by_name["m3"].fits, by_name["m3"].on_subject) == (1.0, 0.0, 1.0)
    assert by_name["base"].on_subject == 0.0
    assert by_name["m2"].grades == {"safety": 0.0, "humor": 2.0, "brevity": 0.0}
    assert found.answers == len(answers)
    assert all(p.lost == 0 for p in found.preferences)
    assert sum(p.won + p.tied for p in found.preferences) == len(pairs)
    assert sum(p.tied for p in found.preferences) == -(-len(pairs) // 5)
    assert {a.trait for a in found.agreement} == set(bundle.traits)
    assert "preferred in" in "\n".join(reading_lines(bundle, found))


def test_a_grade_that_is_missing_is_named(bundle: Bundle) -> None:
    sheets = reading_sheets(bundle, prompts=2)
    answers, pairs = graded(sheets, bundle)
    answers[FIT] = answers[FIT].astype(object)
    answers.loc[4, FIT] = ""
    with pytest.raises(InvalidInputError, match="item 4, fits prompt: '' is none of 0 to 2"):
        reading_result(bundle, answers, sheets.answers_key, pairs, sheets.pairs_key, "x")
    few = graded(sheets, bundle)[0].iloc[1:]
    with pytest.raises(InvalidInputError, match="items of the key are missing"):
        reading_result(bundle, few, sheets.answers_key, pairs, sheets.pairs_key, "x")


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("item", "x", "answers-key: item 'x' is no whole number"),
        ("item", 1.5, "no whole number"),
        ("item", 2, "item 2 stands there twice"),
        ("policy", "nobody", "policy: 'nobody' isn't one of the bundle's"),
        ("prompt_id", "p999", "prompt_id: 'p999' isn't"),
        (None, None, "there is no column 'policy'"),
        ("all", None, "there are no rows"),
    ],
)
def test_a_changed_key_of_answers_is_refused(
    bundle: Bundle, column: str | None, value: Any, why: str
) -> None:
    sheets = reading_sheets(bundle, prompts=2)
    answers, pairs = graded(sheets, bundle)
    key = sheets.answers_key.astype(object)
    if column is None:
        key = key.drop(columns="policy")
    elif column == "all":
        key = key.iloc[:0]
    else:
        key.loc[0, column] = value
    with pytest.raises(InvalidInputError, match=why):
        reading_result(bundle, answers, key, pairs, sheets.pairs_key, "x")


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("item", "", "pairs-key: item '' is no whole number"),
        ("trait", "depth", "trait: 'depth' isn't"),
        ("adapter", "nobody", "adapter: 'nobody' isn't"),
        ("rival", "nobody", "rival: 'nobody' isn't"),
        ("adapter_is_first", "perhaps", "adapter_is_first: 'perhaps' isn't"),
    ],
)
def test_a_changed_key_of_pairs_is_refused(
    bundle: Bundle, column: str, value: Any, why: str
) -> None:
    sheets = reading_sheets(bundle, prompts=2)
    answers, pairs = graded(sheets, bundle)
    key = sheets.pairs_key.astype(object)
    key.loc[0, column] = value
    with pytest.raises(InvalidInputError, match=why):
        reading_result(bundle, answers, sheets.answers_key, pairs, key, "x")


def test_an_answer_that_was_graded_twice_is_refused(bundle: Bundle) -> None:
    sheets = reading_sheets(bundle, prompts=2)
    answers, pairs = graded(sheets, bundle)
    twice = pd.concat([answers, answers.iloc[:1]])
    with pytest.raises(InvalidInputError, match="the sheet: item 0 stands there twice"):
        reading_result(bundle, twice, sheets.answers_key, pairs, sheets.pairs_key, "x")


def test_the_command_writes_sheets_once_and_records_the_result(
    bundle: Bundle, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    folder = tmp_path / "sheets"
    run = CliRunner().invoke
    drawn = run(app, ["reading", "sheets", str(bundle.folder), "--out", str(folder)])
    assert drawn.exit_code == 0, drawn.output
    again = run(app, ["reading", "sheets", str(bundle.folder), "--out", str(folder)])
    assert "isn't empty" in str(again.exception)
    answers = pd.read_csv(folder / "answers.csv", keep_default_na=False)
    for column in [FIT, *bundle.traits]:
        answers[column] = 1
    answers.to_csv(folder / "answers.csv", index=False)
    pairs = pd.read_csv(folder / "pairs.csv", keep_default_na=False).assign(better=1)
    pairs.to_csv(folder / "pairs.csv", index=False)
    done = run(app, ["reading", "record", str(bundle.folder), str(folder), "--reader", "a test"])
    assert done.exit_code == 0, done.output
    found = read_bundle(bundle.folder).manifest.reading
    assert isinstance(found, Reading)
    assert found.agreement == (), "one grade for all says nothing"
    assert {p.won + p.lost for p in found.preferences} == {3}
    after = read_bundle(bundle.folder)
    told = {s.heading: s.text for s in statements(after, tuple(after.members), None)}
    assert "Of the members' answers 0% fit their prompt, 100% in part." in told["Read blind"]


def test_without_corners_there_are_no_pairs_and_ids_stay_text(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    made = make_bundle(tmp_path / "plain")
    plain = tuple(
        c.model_copy(update={"weights": None, "kind": "remote"}) if c.kind == "adapter" else c
        for c in made.manifest.candidates
    )
    numbers = {p: f"00{i}" for i, p in enumerate(made.prompts["prompt_id"])}
    tables = {
        "prompts": made.prompts.assign(prompt_id=made.prompts["prompt_id"].map(numbers)),
        "samples": made.samples.assign(prompt_id=made.samples["prompt_id"].map(numbers)),
    }
    bundle = write_bundle(
        tmp_path / "numbered", made.manifest.model_copy(update={"candidates": plain}), tables
    )
    folder = tmp_path / "sheets"
    run = CliRunner().invoke
    run(app, ["reading", "sheets", str(bundle.folder), "--out", str(folder)])
    answers = pd.read_csv(folder / "answers.csv", keep_default_na=False)
    for column in [FIT, *bundle.traits]:
        answers[column] = [i % 3 for i in range(len(answers))]
    answers.to_csv(folder / "answers.csv", index=False)
    done = run(app, ["reading", "record", str(bundle.folder), str(folder), "--reader", "a test"])
    assert done.exit_code == 0, done.exception
    found = read_bundle(bundle.folder).manifest.reading
    assert found is not None
    assert found.preferences == ()
    assert {a.answers for a in found.agreement} == {len(answers)}
