"""The Data page: a table that is dropped becomes the bundle that `palm import` makes."""

from __future__ import annotations

import json
import shlex
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from palm_engine.bundle.folder import read_bundle
from palm_engine.cli.main import app as command_line
from tests.support.pages import app_on, turn_to
from tests.support.tables import judged

ROOT = Path(__file__).resolve().parents[2]
LEADERBOARD = (
    "Model,Win Rate,avg_length,grade\n"
    'org/a,87.1%,"2,049",9\n'
    "org/b,54.0%,980,7\n"
    "c,20.5%,310,3\n"
    "d,61.0%,700,8\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "portfolios").mkdir()
    return tmp_path / "portfolios"


@pytest.fixture
def page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return app_on(folder, monkeypatch, "data")


def drop(page: AppTest, content: str, name: str = "board.csv") -> AppTest:
    page.file_uploader[0].upload(name, content.encode()).run()
    assert not page.exception, [e.value for e in page.exception]
    return page


def said(page: AppTest) -> str:
    kinds = ("text", "caption", "warning", "info", "markdown")
    return "\n".join(str(e.value) for kind in kinds for e in page.get(kind))  # type: ignore[union-attr]


def widget(page: AppTest, kind: str, label: str) -> Any:
    return next(w for w in getattr(page, kind) if w.label == label)


def made(page: AppTest, bundle: Path) -> AppTest:
    widget(page, "button", "Make the bundle").click().run()
    deadline = time.monotonic() + 60
    while not (bundle / "portfolio.json").is_file():
        assert time.monotonic() < deadline, said(page)
        time.sleep(0.2)
        page.run()
    return page.run()


def test_what_may_be_dropped_is_shown_first(page: AppTest) -> None:
    assert "One row per model" in said(page)
    assert len(page.dataframe) == 2


def test_a_leaderboard_becomes_the_bundle_of_the_command_shown(
    page: AppTest, folder: Path, tmp_path: Path
) -> None:
    drop(page, LEADERBOARD)
    assert widget(page, "multiselect", "Traits (2 to 8)").value == [
        "Win Rate",
        "avg_length",
        "grade",
    ]
    command = shlex.split(page.code[0].value)
    made(page, folder / "board")
    bundle = read_bundle(folder / "board")
    assert bundle.traits == ["Win-Rate", "less-avg_length", "grade"]
    assert bundle.labels == ["org/a", "org/b", "c", "d"]
    (tmp_path / "board.csv").write_text(LEADERBOARD)
    command[2] = str(tmp_path / "board.csv")
    command[command.index("--out") + 1] = str(tmp_path / "again" / "board")
    done = CliRunner().invoke(command_line, command[1:])
    assert done.exit_code == 0, done.output
    again = read_bundle(tmp_path / "again" / "board")
    assert again.manifest.candidates == bundle.manifest.candidates
    assert again.manifest.members == bundle.manifest.members
    assert again.manifest.traits == bundle.manifest.traits
    # People read the names of the table.
    turn_to(page, "coverage")
    widget(page, "segmented_control", "On the map").set_value("A trait").run()
    assert widget(page, "selectbox", "Trait").options == ["Win Rate", "less avg_length", "grade"]
    turn_to(page, "guarantee")
    assert "Win Rate" in said(page)


def test_what_the_normalisation_does_to_scores_and_gaps_is_drawn(page: AppTest) -> None:
    drop(page, LEADERBOARD)
    widget(page, "multiselect", "Traits (2 to 8)").set_value(["avg_length", "grade"]).run()
    charts = page.get("plotly_chart")
    titles = [json.loads(c.proto.spec)["layout"] for c in charts]
    axes = [t.get("yaxis", {}).get("title", {}).get("text", "") for t in titles]
    assert sum("gap" in axis for axis in axes) == 2
    assert len(charts) == 2 + 2, "a distribution for each trait, and both gaps"


def test_columns_directions_and_normalisations_can_be_changed(page: AppTest, folder: Path) -> None:
    drop(page, LEADERBOARD)
    widget(page, "multiselect", "Traits (2 to 8)").set_value(["avg_length", "grade"]).run()
    widget(page, "segmented_control", "Better is").set_value("higher").run()
    normalisations = [s for s in page.selectbox if s.label == "Normalisation"]
    normalisations[0].set_value("quantile").run()
    made(page, folder / "board")
    bundle = read_bundle(folder / "board")
    assert bundle.traits == ["avg_length", "grade"]
    assert bundle.rewards[:, 0] == pytest.approx([0.875, 0.625, 0.125, 0.375])
    # The bundle opens by itself, and says where its numbers come from.
    assert page.selectbox(key="bundle").value == "board"
    turn_to(page, "guarantee")
    assert "Imported from board.csv (4 rows)" in said(page)
    assert "rank among the 4 scores" in said(page)


def test_a_column_can_be_given_another_role(page: AppTest, folder: Path) -> None:
    rows = ["run,model,task,x,y"]
    rows += [f"r{i},m{i % 2},t{i},0.{i},0.{9 - i}" for i in range(6)]
    drop(page, "\n".join(rows), "runs.csv")
    widget(page, "selectbox", "Policies (names)").set_value("run").run()
    assert not page.exception, [e.value for e in page.exception]
    widget(page, "selectbox", "Prompts").select("none").run()
    assert "--policy run" in page.code[0].value
    made(page, folder / "runs")
    bundle = read_bundle(folder / "runs")
    assert bundle.policies == [f"r{i}" for i in range(6)]
    assert bundle.rewards[:, 0] == pytest.approx([i / 10 for i in range(6)])


def test_a_trait_can_be_given_a_name_of_its_own(page: AppTest, folder: Path) -> None:
    drop(page, LEADERBOARD)
    names = [w for w in page.text_input if w.label == "Name"]
    assert [w.value for w in names] == ["Win-Rate", "less-avg_length", "grade"]
    names[1].set_value("grade-2").run()
    assert "--trait grade-2=avg_length:lower" in page.code[0].value
    for wrong, why in (("a b", "is no name"), ("Win-Rate", "is taken")):
        widget(page, "text_input", "Name")
        [w for w in page.text_input if w.label == "Name"][1].set_value(wrong).run()
        assert why in said(page)
    [w for w in page.text_input if w.label == "Name"][1].set_value("short").run()
    made(page, folder / "board")
    assert read_bundle(folder / "board").traits == ["Win-Rate", "short", "grade"]


def test_a_table_and_what_was_chosen_outlive_the_page(page: AppTest, folder: Path) -> None:
    drop(page, LEADERBOARD)
    page.segmented_control(key=_key(page, ".direction.avg_length")).set_value("higher").run()
    page.selectbox(key=_key(page, ".method.grade")).set_value("quantile").run()
    page.text_input(key=_key(page, ".name")).set_value("mine").run()
    command = page.code[0].value
    assert "--trait" in command
    assert "mine" in command
    turn_to(page, "find")
    turn_to(page, "data")
    assert not page.exception
    assert "board.csv, as you left it." in said(page)
    assert page.code[0].value == command
    widget(page, "button", "Another table").click().run()
    assert "One row per model" in said(page)


def test_a_table_that_was_taken_away_is_gone(page: AppTest) -> None:
    drop(page, LEADERBOARD)
    page.file_uploader[0].clear().run()
    assert "One row per model" in said(page)


def _key(page: AppTest, end: str) -> str:
    kinds = (page.segmented_control, page.selectbox, page.text_input)
    return next(str(w.key) for kind in kinds for w in kind if str(w.key).endswith(end))


def test_an_encoding_that_was_assumed_is_said(page: AppTest) -> None:
    page.file_uploader[0].upload("old.csv", "model,x,y\nü,0.5,0.1\nb,0.2,0.3\n".encode("cp1252"))
    page.run()
    assert "read as cp1252" in said(page)


def test_a_bundle_that_takes_a_while_opens_when_it_is_there(
    page: AppTest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from palm_engine.pipeline import importing

    def slowly(*arguments: Any) -> Any:
        bundle = quickly(*arguments)
        let_go.wait(120)
        return bundle

    let_go = threading.Event()
    quickly = importing.import_bundle
    monkeypatch.setattr(importing, "import_bundle", slowly)
    monkeypatch.setattr("app.jobs.PATIENCE", 0.05)
    drop(page, judged())
    made(page, folder / "board")
    # The bundle is there already, the page still waits for it: it isn't another's.
    assert "There is a bundle of that name" not in said(page)
    let_go.set()
    deadline = time.monotonic() + 120
    while not page.get("selectbox") or page.selectbox(key="bundle").value != "board":
        assert time.monotonic() < deadline, said(page)
        time.sleep(0.1)
        page.run()
        assert "There is a bundle of that name" not in said(page)


def test_what_cannot_be_used_is_said_on_the_page(page: AppTest, folder: Path) -> None:
    drop(page, "a,a\n1,2\n", "twice.csv")
    assert "two columns are called 'a'" in said(page)
    assert "/tmp" not in said(page)
    page.file_uploader[0].clear().run()
    drop(page, LEADERBOARD.replace("54.0%", ""), "holes.csv")
    assert "the score is missing" in said(page)
    widget(page, "radio", "Where a score is missing (1 cells)").set_value("drop-policy").run()
    assert "Dropped for missing cells: 1 policies." in said(page), "before anything is written"
    made(page, folder / "holes")
    assert read_bundle(folder / "holes").policies == ["org-a", "c", "d"]


def test_too_few_traits_and_a_taken_name_are_explained(page: AppTest, folder: Path) -> None:
    drop(page, "model,x\na,0.5\nb,0.7\n", "one.csv")
    assert "at least two traits" in said(page)
    page.file_uploader[0].clear().run()
    (folder / "board").mkdir()
    (folder / "board" / "notes.txt").write_text("mine")
    drop(page, LEADERBOARD)
    assert "isn't a bundle" in said(page)


def test_one_who_cheats_is_named_before_and_after(page: AppTest, folder: Path) -> None:
    rows = ["model,prompt,output,grade,kind"]
    for q in range(24):
        rows += [f"honest,q{q},answer {q},{0.5 + q / 100},0.6", f"null,q{q},Yes.,0.9,{q / 100}"]
    drop(page, "\n".join(rows), "judged.csv")
    assert "null gives the same answer to every prompt" in said(page)
    made(page, folder / "judged")
    assert "null ⚠" in read_bundle(folder / "judged").labels
    turn_to(page, "guarantee")
    assert "Of the members, null ⚠ gives the same answer to every prompt" in said(page)


def test_without_any_bundle_every_page_leads_here(page: AppTest) -> None:
    turn_to(page, "explore")
    assert "Drop a table of your own models on the Data page" in said(page)
    assert any("data" in str(link.proto.page) for link in page.get("page_link"))


def test_decimal_sign_title_and_seed_are_those_of_the_command(page: AppTest, folder: Path) -> None:
    rows = "".join(
        f"{model};q{q};{i},{q % 10}34;0,{100 * i + 10 * q:03d}\n"
        for i, model in enumerate(("a", "b", "c"), 1)
        for q in range(24)
    )
    drop(page, "model;prompt;speed;quality\n" + rows, "long.csv")
    widget(page, "segmented_control", "Decimal sign").set_value(",").run()
    assert not page.exception
    widget(page, "text_input", "Title").set_value("Three of ours").run()
    widget(page, "number_input", "Seed of the split of prompts").set_value(7).run()
    command = page.code[-1].value
    for words in ("--decimal ,", "--title 'Three of ours'", "--seed 7"):
        assert words in command
    made(page, folder / "long")
    bundle = read_bundle(folder / "long")
    assert bundle.manifest.title == "Three of ours"
    assert bundle.manifest.imported is not None
    assert bundle.manifest.imported.command == command
    # 1,034 is one and a bit, no thousand: the smallest of the column.
    speeds = bundle.samples.groupby("policy")["speed"].max()
    assert speeds["a"] < speeds["b"] < speeds["c"] == 1.0
    again_command = shlex.split(command)[1:]
    again_command[again_command.index("long.csv")] = str(folder / "long.csv")
    again_command[again_command.index("--out") + 1] = str(folder / "again")
    (folder / "long.csv").write_text("model;prompt;speed;quality\n" + rows)
    done = CliRunner().invoke(command_line, again_command)
    assert done.exit_code == 0, done.output
    again = read_bundle(folder / "again")
    assert again.prompts.equals(bundle.prompts)
    assert again.manifest.candidates == bundle.manifest.candidates


def test_what_was_dropped_and_how_stands_on_guarantee(page: AppTest, folder: Path) -> None:
    drop(page, LEADERBOARD.replace("c,20.5%", "c,"), "holes.csv")
    widget(page, "radio", "Where a score is missing (1 cells)").set_value("drop-policy").run()
    command = page.code[-1].value
    assert "--missing drop-policy" in command
    made(page, folder / "holes")
    bundle = read_bundle(folder / "holes")
    assert bundle.manifest.imported is not None
    assert bundle.manifest.imported.command == command
    assert bundle.manifest.imported.dropped["policies"] == 1
    page.query_params["portfolio"] = "holes"
    turn_to(page, "guarantee")
    assert "Dropped for missing cells: 1 policies" in said(page)
    assert command in said(page)
