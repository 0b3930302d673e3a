"""Find my model under AppTest: questions, undo, the member that is settled, empty states."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from palm_engine.analysis.finding import questions
from palm_engine.bundle.folder import read_bundle
from palm_engine.errors import InvalidInputError
from palm_engine.preferences.finding import Answered
from tests.support.bundles import make_bundle
from tests.support.pages import app_on, texts, turn_to


def button(app: AppTest, name: str) -> Any:
    return app.button(key=f"find.{name}.page")


def html_part(app: AppTest, part: str) -> str:
    bodies = [h.proto.body for h in app.get("html") if f'data-part="{part}"' in h.proto.body]
    return bodies[0] if bodies else ""


def test_answers_settle_a_member_whose_weights_every_page_then_uses(open_app: Any) -> None:
    app = open_app("demo", "find")
    for _ in range(18):
        if html_part(app, "found"):
            break
        # This user likes m1, whatever else there is, and has no opinion on the others.
        liked = [side for side in ("first", "second") if "m1 on" in html_part(app, side)]
        button(app, liked[0] if liked else "skip").click().run()
        assert not app.exception
    assert ">m1</div>" in html_part(app, "found")
    assert app.get("plotly_chart")
    before = list(app.session_state["raw.demo"]) if "raw.demo" in app.session_state else []
    button(app, "use").click().run()
    assert app.session_state["raw.demo"] != before
    assert max(app.session_state["raw.demo"]) == 100
    assert app.session_state["moved.demo"] == 1


def test_two_keys_before_the_page_is_drawn_anew_answer_one_question(open_app: Any) -> None:
    app = open_app("demo", "find")
    button(app, "first").click()
    button(app, "both").click().run()
    assert "Question 2" in html_part(app, "asked")


def test_undo_brings_the_question_back_and_skip_another(open_app: Any) -> None:
    app = open_app("demo", "find")
    first = html_part(app, "asked")
    assert button(app, "undo").disabled
    button(app, "skip").click().run()
    second = html_part(app, "asked")
    assert second != first
    button(app, "undo").click().run()
    assert html_part(app, "asked") == first
    assert "Question 1" in html_part(app, "asked")


def test_answers_are_text_and_never_markup(open_app: Any) -> None:
    app = open_app("demo", "find")
    for side in ("first", "second"):
        assert "<script>" not in html_part(app, side)


@pytest.mark.parametrize("name", ["no-texts", "single"])
def test_where_there_is_nothing_to_ask_the_page_says_why(open_app: Any, name: str) -> None:
    app = open_app(name, "find")
    if name == "single":
        assert "Nothing is selected" in texts(app)
    else:
        assert "There is nothing to ask about here" in texts(app)
    assert not app.get("plotly_chart")


def test_a_bundle_written_anew_begins_with_no_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "demo")
    app = app_on(tmp_path, monkeypatch)
    turn_to(app, "find")
    button(app, "first").click().run()
    assert "Question 2" in html_part(app, "asked") or html_part(app, "found")
    later = (bundle.folder / "portfolio.json").stat().st_mtime + 5
    os.utime(bundle.folder / "portfolio.json", (later, later))
    app.run()
    assert not app.exception
    assert "Question 1" in html_part(app, "asked")


def test_answers_without_scores_are_no_questions(bundles: Path) -> None:
    bundle = read_bundle(bundles / "demo")
    samples = bundle.samples.copy()
    samples.loc[samples["prompt_id"] == "p1", bundle.traits[0]] = float("nan")
    broken = replace(bundle)
    broken.__dict__["samples"] = samples
    asked = questions(broken, bundle.members)
    assert "p1" not in set(asked.table["prompt_id"])


def test_questions_pair_different_answers_of_members_and_the_log_holds_all(bundles: Path) -> None:
    bundle = read_bundle(bundles / "demo")
    asked = questions(bundle, bundle.members)
    names = {bundle.policies[i] for i in bundle.members}
    assert len(asked.table) == len(asked.differences) > 0
    assert (asked.table["first"] != asked.table["second"]).all()
    assert set(asked.table["first_policy"]) | set(asked.table["second_policy"]) <= names
    held_out = bundle.prompts.loc[bundle.prompts["split"] != "train", "prompt_id"]
    assert set(asked.table["prompt_id"]) <= set(held_out)
    log = asked.log([Answered(0, "first"), Answered(1, None)])
    assert list(log["answer"]) == ["first", "skipped"]
    assert log["probability"].between(0, 1).all()
    weights = log[[f"weight_{t}" for t in bundle.traits]]
    assert weights.sum(axis=1).round(5).eq(1).all()
    with pytest.raises(InvalidInputError, match="fewer than two"):
        questions(bundle, bundle.members[:1])


def test_explore_asks_the_same_questions_and_its_sliders_follow(open_app: Any) -> None:
    app = open_app()
    assert not html_part(app, "asked")
    app.toggle(key="find.demo").set_value(True).run()
    asked = html_part(app, "asked")
    assert "Question 1" in asked
    app.button(key="find.skip.explore").click().run()
    turn_to(app, "find")
    # What was said on one page counts on the other.
    assert "Question 2" in html_part(app, "asked")


def test_weights_that_were_found_are_in_the_address(open_app: Any, bundles: Path) -> None:
    from app import state

    app = open_app()
    bundle = read_bundle(bundles / "demo")
    before = app.query_params["w"]
    app.session_state["raw.demo"] = [10.0, 20.0, 70.0]
    app.session_state[f"moved.{bundle.folder.name}"] = 1
    app.run()
    assert app.query_params["w"] != before
    assert "10-20-70" in app.query_params["w"]
    assert state.MAX_SLIDER == 100
