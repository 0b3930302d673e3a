"""Brevity and the registry of rewards."""

from __future__ import annotations

import pytest

from palm_engine.errors import InvalidInputError
from palm_engine.rewards import get_reward, reward_names


def test_brevity_by_hand() -> None:
    scores = get_reward("brevity").score(
        [""] * 4, ["one two three", "a b", "long enough text", "three more words"], [16, 2, 64, 99]
    )
    assert scores.tolist() == [0.75, 0.0, 0.0, 0.0]


def test_unknown_rewards_are_refused_with_the_known_ones() -> None:
    assert {"brevity", "humor", "safety"} <= set(reward_names())
    with pytest.raises(InvalidInputError, match="brevity"):
        get_reward("speed")


def test_probe_cards_say_what_they_are() -> None:
    for name in ("humor", "safety", "humor.second", "safety.second"):
        card = get_reward(name).card  # type: ignore[attr-defined]
        assert card["use"] == "a demo probe, not a moderation tool"
        assert 0.5 < card["auroc_model_outputs"] <= 1
        assert card["known_failures"]
