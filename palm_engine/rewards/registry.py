"""Rewards by name or by settings. Each is made once, when it is first used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from palm_engine.errors import InvalidInputError
from palm_engine.rewards.gated import Gated
from palm_engine.rewards.interface import MOST_TOKENS, Reward, fingerprint_of
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
_by_length: dict[str, Callable[[int], Reward]] = {}
_made: dict[tuple[str, int], Reward] = {}
# Of configurations: by trait and by the name that bundles record, which several may share.
_configured: dict[tuple[str, str], Callable[[int], Reward]] = {}
_lock = threading.RLock()


def register_reward(name: str, make: Callable[[], Reward]) -> None:
    """Make a reward available to build configurations under a name.

    Args:
        name: the name; a reward registered under it before is replaced.
        make: called once, when the reward is first used.
    """
    with _lock:
        _forget(name)
        _makers[name] = make


def register_by_length(name: str, make: Callable[[int], Reward]) -> None:
    """The same for a reward that depends on how long answers may be.

    Args:
        name: the name; a reward registered under it before is replaced.
        make: from the most tokens of an answer; called once for each.
    """
    with _lock:
        _forget(name)
        _by_length[name] = make


def _forget(name: str) -> None:
    _makers.pop(name, None)
    _by_length.pop(name, None)
    for key in [k for k in _made if k[0] == name]:
        del _made[key]


def reward_names() -> list[str]:
    """All registered names, sorted."""
    return sorted({*_makers, *_by_length})


def get_reward(name: str, most_tokens: int = MOST_TOKENS) -> Reward:
    """The reward called `name`.

    Args:
        name: as it is registered.
        most_tokens: how long answers may be, for rewards of length.

    Raises:
        InvalidInputError: no reward is registered under the name; the message lists those that are.
    """
    with _lock:
        if name not in _makers and name not in _by_length:
            known = ", ".join(reward_names())
            raise InvalidInputError(f"reward {name!r} is not known; known are {known}")
        key = (name, most_tokens if name in _by_length else 0)
        if key not in _made:
            _made[key] = _makers[name]() if name in _makers else _by_length[name](most_tokens)
        return _made[key]


def configure_reward(trait: str, title: str, make: Callable[[int], Reward]) -> None:
    """Make a configuration's reward known to bundles that record it.

    Args:
        trait: that it measures there.
        title: the name that bundles record; two judges on one model have the same.
        make: from the most tokens of an answer.
    """
    with _lock:
        _configured[trait, title] = make


def reward_for(
    trait: str, title: str, fingerprint: str | None, most_tokens: int = MOST_TOKENS
) -> Reward | None:
    """The reward that scored a trait of a bundle, as far as it is known here.

    Of several with one name the one of this fingerprint, else the one that a configuration has for
    a trait of this name, else the registered one. A changed reward is found too
    (`interface.is_other`).

    Args:
        trait: of the bundle.
        title: the reward's name that the bundle records.
        fingerprint: that it records, or None.
        most_tokens: how long the bundle's answers may be.

    Returns:
        The reward, or None where none of that name is known.

    Raises:
        InvalidInputError: several have the name, and neither fingerprint nor trait tells which.
    """
    with _lock:
        named = {t: make for (t, known), make in _configured.items() if known == title}
    found = {t: make(most_tokens) for t, make in named.items()}
    registered = get_reward(title, most_tokens) if title in reward_names() else None
    everything = [*found.values(), *([] if registered is None else [registered])]
    for reward in everything:
        if fingerprint == fingerprint_of(reward):
            return reward
    if trait in found:
        return found[trait]
    if registered is not None:
        return registered
    different = {fingerprint_of(r): r for r in found.values()}
    if len(different) > 1:
        raise InvalidInputError(
            f"trait {trait!r}: the configuration has {len(different)} rewards called {title!r} (of"
            f" {', '.join(found)}), and none of them scored this bundle; name the trait there"
            f" {trait!r} too"
        )
    return next(iter(different.values()), None)


def make_reward(
    spec: RewardSpec, project: Path = Path("."), most_tokens: int = MOST_TOKENS
) -> Reward:
    """The reward that a configuration names.

    Args:
        spec: a registered name, or a kind with its settings.
        project: folder that files and modules are looked for in.
        most_tokens: how long answers may be, for rewards of length.

    Raises:
        PalmError: it can't be made: no such name, file, module, model or label.
    """
    if isinstance(spec, str):
        return get_reward(spec, most_tokens)
    key = (f"{project.resolve()} {spec.model_dump_json()}", most_tokens)
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

            return Classifier(spec, project)
        case ModelSettings():
            from palm_engine.rewards.model import ModelReward

            return ModelReward(spec, project)
        case AnswerSettings():
            from palm_engine.rewards.answers import AnswerReward

            return AnswerReward(spec, project, most_tokens)
        case FunctionSettings():
            from palm_engine.rewards.function import FunctionReward

            return FunctionReward(spec, project)
        case JudgeSettings():
            from palm_engine.rewards.judge import Judge

            return Judge(spec, project)
