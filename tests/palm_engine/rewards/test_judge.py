"""A language model as a judge, against a server of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from palm_engine.errors import ConfigError, GenerationError
from palm_engine.rewards import make_reward
from palm_engine.rewards.interface import fingerprint_of
from palm_engine.rewards.judge import Judge
from palm_engine.rewards.settings import JudgeSettings
from tests.support.fakes import fake_server

pytest.importorskip("openai")

RUBRIC = "How helpful is the answer to the person who asks?"


def text_of(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def judge(url: str, project: Path = Path("."), **changes: Any) -> Judge:
    content = {"kind": "judge", "url": url, "model": "grader", "rubric": RUBRIC, **changes}
    found = make_reward(JudgeSettings.model_validate(content), project)
    assert isinstance(found, Judge)
    return found


def test_grades_become_scores_and_cost_is_counted() -> None:
    grades = {"bad": "1", "fair": "5.5", "good": " 10. "}

    def reply(body: dict[str, Any]) -> str:
        return next(g for word, g in grades.items() if f"\n{word}\n" in text_of(body))

    with fake_server(["grader"], reply=reply) as (url, asked):
        found = judge(url, price_in=10, price_out=100)
        answers = list(grades)
        scores = found.score(["Why {braces}?"] * 3, answers, [1] * 3)
        assert scores.tolist() == [0.0, 0.5, 1.0]
        assert all(RUBRIC in text_of(b) and "Why {braces}?" in text_of(b) for b in asked)
        assert found.cost == pytest.approx(3 * (100 * 10 + 2 * 100) / 1e6)


def test_a_reply_that_is_no_grade_is_asked_again_then_refused() -> None:
    replies = iter(["I think 7", "11", "7"])
    with fake_server(["grader"], reply=lambda body: next(replies)) as (url, asked):
        assert judge(url).score(["p"], ["a"], [1]).tolist() == [pytest.approx(6 / 9)]
        assert [b["temperature"] for b in asked] == [0.0, 0.7, 0.7]
    with (
        fake_server(["grader"], reply=lambda body: "Great answer!") as (url, asked),
        pytest.raises(GenerationError, match=r"row 0.*'Great answer!'.*2 times"),
    ):
        judge(url, retries=1).score(["p"], ["a"], [1])


def test_pairs_are_asked_in_both_orders(tmp_path: Path) -> None:
    (tmp_path / "references.csv").write_text("prompt,text\np,reference\n")

    def prefers_long(body: dict[str, Any]) -> str:
        first, _, second = text_of(body).partition("Answer B:")
        return "A" if len(first.split("Answer A:")[1]) > len(second.split("Which")[0]) else "B"

    with fake_server(["grader"], reply=prefers_long) as (url, _):
        found = judge(url, tmp_path, references="references.csv")
        scores = found.score(["p"] * 2, ["a much longer answer than that", "x"], [1] * 2)
        assert scores.tolist() == [1.0, 0.0]
        with pytest.raises(ConfigError, match="no reference for prompt 'other'"):
            found.score(["other"], ["x"], [1])
    # One who always says A is no judge: each answer wins one of its two comparisons.
    with fake_server(["grader"], reply=lambda body: "A") as (url, _):
        found = judge(url, tmp_path, references="references.csv")
        assert found.score(["p"], ["x"], [1]).tolist() == [0.5]


def test_what_changes_a_grade_changes_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = {
        fingerprint_of(judge("http://localhost:1/v1", tmp_path, **changes))
        for changes in ({}, {"model": "b"}, {"rubric": RUBRIC + "!"}, {"high": 5}, {"parallel": 2})
    }
    assert len(marks) == 4
    # So do the references' content, and what is asked around the rubric.
    references = tmp_path / "r.csv"
    for text in ("one", "two"):
        (tmp_path / text).mkdir()
        references.write_text(f"prompt,text\np,{text}\n")
        (tmp_path / text / "r.csv").write_text(references.read_text())
        made = judge("http://localhost:1/v1", tmp_path / text, references="r.csv")
        marks.add(fingerprint_of(made))
    assert len(marks) == 6
    monkeypatch.setattr("palm_engine.rewards.judge._GRADE", "{rubric} Grade: {prompt} {answer}")
    (tmp_path / "other").mkdir()
    assert fingerprint_of(judge("http://localhost:1/v1", tmp_path / "other")) not in marks


def test_references_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("question,text\n")
    for name in ("r.csv", "missing.csv"):
        with pytest.raises(ConfigError, match="columns prompt and text"):
            judge("http://localhost:1/v1", tmp_path, references=name)


def test_a_server_that_refuses_is_named() -> None:
    with (
        fake_server(["other"]) as (url, _),
        pytest.raises(GenerationError, match=r"row 0.*no such thing"),
    ):
        judge(url).score(["p"], ["a"], [1])
