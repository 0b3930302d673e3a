"""Rewards by name or by settings. Each is made once, when it is first used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from palm_engine.errors import InvalidInputError
from palm_engine.rewards.gated import Gated
from palm_engine.rewards.interface import Reward
from palm_engine.rewards.settings import (
    AnswerSettings,
    ClassifierSettings,
    FunctionSettings,
    JudgeSettings,
    LengthSettings,
    ModelSettings,
    ProbeSettings,
    RewardSettings,
    RewardSpec,
)

_makers: dict[str, Callable[[], Reward]] = {}
_made: dict[str, Reward] = {}
_lock = threading.RLock()


def register_reward(name: str, make: Callable[[], Reward]) -> None:
    """Make a reward available to build configurations under a name.

    Args:
        name: the name; a reward registered under it before is replaced.
        make: called once, when the reward is first used.
    """
    with _lock:
        _makers[name] = make
        _made.pop(name, None)


def reward_names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_makers)


def get_reward(name: str) -> Reward:
    """The reward called `name`.

    Raises:
        InvalidInputError: no reward is registered under the name; the message lists those that are.
    """
    with _lock:
        if name not in _makers:
            known = ", ".join(reward_names())
            raise InvalidInputError(f"reward {name!r} is not known; known are {known}")
        if name not in _made:
            _made[name] = _makers[name]()
        return _made[name]


def make_reward(spec: RewardSpec, project: Path = Path("."), most_tokens: int = 64) -> Reward:
    """The reward that a configuration names.

    Args:
        spec: a registered name, or a kind with its settings.
        project: folder that files and modules are looked for in.
        most_tokens: how long answers may be, for rewards of length.

    Raises:
        PalmError: it can't be made: no such name, file, module, model or label.
    """
    if isinstance(spec, str):
        return get_reward(spec)
    key = f"{project.resolve()} {most_tokens} {spec.model_dump_json()}"
    with _lock:
        if key not in _made:
            made = _of_kind(spec, project, most_tokens)
            if spec.gate is not None:
                made = Gated(made, make_reward(spec.gate, project, most_tokens))
            _made[key] = made
        return _made[key]


def _of_kind(spec: RewardSettings, project: Path, most_tokens: int) -> Reward:
    # Imported where it is used: a configuration is read without torch and openai.
    match spec:
        case LengthSettings():
            from palm_engine.rewards.length import Length

            return Length(spec.most or most_tokens, spec.scale)
        case ProbeSettings():
            from palm_engine.rewards.probe import read_probe

            return read_probe(project / spec.weights)
        case ClassifierSettings():
            from palm_engine.rewards.classifier import Classifier

            return Classifier(spec)
        case ModelSettings():
            from palm_engine.rewards.model import ModelReward

            return ModelReward(spec, project)
        case AnswerSettings():
            from palm_engine.rewards.answers import AnswerReward

            return AnswerReward(spec, project)
        case FunctionSettings():
            from palm_engine.rewards.function import FunctionReward

            return FunctionReward(spec, project)
        case JudgeSettings():
            from palm_engine.rewards.judge import Judge

            return Judge(spec, project)
