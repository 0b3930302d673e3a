"""What the command line says: suggestions, lines that can be pasted, nothing that isn't so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from palm_engine.bundle.folder import read_bundle
from tests.support.command_line import Palm

ROWS = ("a,.1,.9", "b,.9,.1", "c,.5,.6", "d,.2,.2")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rewards.csv"
    path.write_text("\n".join(("policy,helpful,harmless", *ROWS)))
    return path


def test_a_name_that_is_almost_one_is_answered_with_those_near(palm: Palm, bundles: Path) -> None:
    done = palm("answers", bundles / "demo", "m33")
    assert done.status == 2
    assert re.search(r"no candidate 'm33'; did you mean .*\bm3\b", done.err)


def test_a_question_that_was_not_recorded_is_answered_with_those_near(
    palm: Palm, bundles: Path
) -> None:
    asked = ("generate", bundles / "demo", "--backend", "recorded", "--weights", "safety=1")
    text = str(read_bundle(bundles / "demo").prompts["text"].iloc[0])
    done = palm(*asked, "--prompt", f"{text} Yes?")
    assert done.status == 2
    assert "was recorded (near are '" in done.err
    assert repr(text[:60]) in done.err
    assert "load the model to ask what is new" in done.err
    done = palm(*asked, "--prompt", "zzzz")
    assert "near are" not in done.err


def test_what_opens_a_bundle_can_be_pasted_from_a_narrow_terminal(
    palm: Palm, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = tmp_path / "a-folder-with-a-name-that-is-longer-than-forty-letters" / "mine"
    done = palm("select", table, "--k", "2", "--out", out)
    assert done.status == 0, done.err
    assert f"Open it with: palm app {out.parent}" in done.out.splitlines()[-1]


def test_members_without_prompts_are_shown_as_selected_and_as_what_they_are(
    palm: Palm, table: Path, tmp_path: Path
) -> None:
    assert palm("select", table, "--k", "2", "--out", tmp_path / "mine").status == 0
    done = palm("show", tmp_path / "mine")
    words = " ".join(done.out.split())
    assert "the members were selected and no prompts were kept for it" in words
    assert "nothing was selected" not in words
    assert "adapter" not in words
    assert len(re.findall(r"│ \* │", done.out)) == 2


def test_a_bound_of_zero_is_not_worth_a_sentence(palm: Palm, table: Path) -> None:
    nothing = palm("select", table, "--k", "3")
    assert "Worst gap 0.0000" in nothing.out
    assert "(proved)" not in nothing.out
    assert "has a gap below 0.0500 (proved)" in " ".join(
        palm("select", table, "--k", "2").out.split()
    )


def test_a_score_out_of_range_is_a_plain_number_with_a_way_out(palm: Palm, table: Path) -> None:
    table.write_text(table.read_text().replace("b,.9", "b,8.1"))
    done = palm("select", table, "--k", "2")
    assert done.status == 2
    assert "row 3, column helpful: 8.1 is not in [0, 1]" in done.err
    assert "palm import takes other scales" in done.err
    assert "np.float64" not in done.err


def test_weights_may_be_given_in_the_order_of_the_traits(palm: Palm, bundles: Path) -> None:
    named = palm("route", bundles / "demo", "--weights", "safety=5,humor=3,brevity=2")
    assert named.status == 0, named.err
    assert palm("route", bundles / "demo", "--weights", "5,3,2").out == named.out
    refused = palm("route", bundles / "demo", "--weights", "5,3")
    assert refused.status == 2
    assert "safety" in refused.err


def test_help_ends_its_sentences_once(palm: Palm) -> None:
    for command in ("generate", "select", "build", "answers"):
        said = palm(command, "--help").out
        assert "greedy ." not in said
        assert not re.search(r"\w \.(\s|$)", said), command
