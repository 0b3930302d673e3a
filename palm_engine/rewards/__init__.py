"""Rewards by name: `brevity`, `humor`, `safety`; others are added with `register`."""

from functools import partial

from palm_engine.rewards.brevity import Brevity
from palm_engine.rewards.interface import Reward, get_reward, register, reward_names
from palm_engine.rewards.probe import load_probe

register("brevity", Brevity)
for _name in ("humor", "safety", "humor.second", "safety.second"):
    register(_name, partial(load_probe, _name))

__all__ = ["Reward", "get_reward", "register", "reward_names"]
