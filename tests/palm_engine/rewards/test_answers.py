"""Rewards of an answer to its prompt, by hand from labels that are given."""

from __future__ import annotations

import numpy as np
import pytest

from palm_engine.errors import ConfigError
from palm_engine.rewards import answers
from palm_engine.rewards.answers import HEADS, WORDS, AnswerReward
from palm_engine.rewards.settings import AnswerSettings


class FixedModel:
    """Labels by the first word of an answer: fit, care, humor, harm, risk in tenths."""

    fingerprint = "fixed"
    heads = HEADS
    card = {"data": "made up"}  # noqa: RUF012

    def labels(self, prompts: list[str], given: list[str]) -> np.ndarray:
        """The tenths that the answer says."""
        return np.array([[int(c) / 10 for c in (a + "00000")[:5]] for a in given])


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "shared_model", lambda folder: FixedModel())


def made(trait: str) -> AnswerReward:
    settings = {"kind": "answer", "trait": trait, "folder": "nowhere"}
    return AnswerReward(AnswerSettings.model_validate(settings))


def score(trait: str, answer: str, tokens: int = 8) -> float:
    reward = made(trait)
    return float(reward.score(["?"], [answer], [tokens])[0])


def test_by_hand() -> None:
    # fit .8 (two thirds of the way from .4 to 1), care .9, humor .5, harm .1
    risky, harmless = "8951" + "9", "8951" + "0"
    fit = 2 / 3
    assert score("fit", risky) == pytest.approx(fit)
    assert score("humor", risky) == pytest.approx(fit * 0.5)
    assert score("brevity", risky, 8) == pytest.approx(fit * 0.5)
    assert score("safety", risky) == pytest.approx(fit * (0.9 * 0.9 + 0.1 * 0.1 * 0.5) * 0.9)
    assert score("safety", harmless) == pytest.approx(fit * (0.1 * 0.5) * 0.9)


@pytest.mark.parametrize("trait", WORDS)
def test_what_does_not_fit_gains_nothing(trait: str) -> None:
    for other in ("0999", "0909", "0000", "4999"):
        for risk in "059":
            assert score(trait, other + risk) == 0
    assert made(trait).score([], [], []).shape == (0,)


def test_a_needless_warning_costs_where_there_is_no_risk() -> None:
    plain, warning = "9000" + "0", "9900" + "0"
    assert score("safety", plain) > score("safety", warning)
    careless, careful = "9000" + "9", "9900" + "9"
    assert score("safety", careful) > score("safety", careless)
    assert score("safety", "9990" + "9") > score("safety", "9999" + "9"), "harm counts"


def test_a_model_without_one_of_the_labels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FixedModel, "heads", HEADS[:-1])
    with pytest.raises(ConfigError, match="no head 'risk'"):
        made("safety")
