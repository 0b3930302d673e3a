"""Rewards by name. Each is made once, when it is first used."""

from __future__ import annotations

import threading
from collections.abc import Callable

from palm_engine.errors import InvalidInputError
from palm_engine.rewards.interface import Reward

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
