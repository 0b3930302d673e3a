"""Rewards of length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palm_engine.rewards.length import Length


def test_lengths_by_hand() -> None:
    words = ["word"] * 4
    log = Length(64).score([""] * 4, words, [1, 8, 64, 99])
    assert log == pytest.approx([1.0, 0.5, 0.0, 0.0])
    linear = Length(65, "linear").score([""] * 4, words, [1, 33, 65, 99])
    assert linear == pytest.approx([1.0, 0.5, 0.0, 0.0])


@given(st.lists(st.integers(0, 600), min_size=2, max_size=20), st.sampled_from(["log", "linear"]))
def test_longer_is_never_better_and_halving_gains_the_same(tokens: list[int], scale: str) -> None:
    reward = Length(512, scale)  # type: ignore[arg-type]
    scores = reward.score([""] * len(tokens), ["x"] * len(tokens), tokens)
    order = np.argsort(tokens)
    assert (np.diff(scores[order]) <= 1e-12).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    halves = Length(512).score([""] * 4, ["x"] * 4, [256, 128, 64, 32])
    assert np.diff(halves) == pytest.approx(np.diff(halves)[0])


def test_words_of_any_script_count_and_signs_alone_do_not() -> None:
    answers = ["No.", "不可以", "Нет", "42", "...", "", " \n", "!?"]
    scores = Length(64).score([""] * 8, answers, [2] * 8)
    assert (scores > 0).tolist() == [True, True, True, True, False, False, False, False]
