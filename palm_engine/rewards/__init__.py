"""Rewards by name: those of the demo and `length`; others are added with `register_reward`.

The demo's `safety`, `humor`, `brevity` and `fit` are parts of one small reward model, which looks
at prompt and answer (answers.py).
"""

from functools import partial
from pathlib import Path
from typing import get_args

from palm_engine.rewards.interface import Reward
from palm_engine.rewards.length import Length
from palm_engine.rewards.registry import (
    configure_reward,
    get_reward,
    make_reward,
    register_by_length,
    register_reward,
    reward_for,
    reward_names,
)
from palm_engine.rewards.settings import AnswerSettings, AnswerTrait

_ANSWERS = Path(__file__).parent / "weights" / "answers"

register_by_length("length", Length)
for _trait in get_args(AnswerTrait):
    _settings = AnswerSettings(kind="answer", trait=_trait, folder=_ANSWERS)
    register_by_length(_trait, partial(make_reward, _settings, Path(".")))

__all__ = [
    "Reward",
    "configure_reward",
    "get_reward",
    "make_reward",
    "register_reward",
    "reward_for",
    "reward_names",
]
