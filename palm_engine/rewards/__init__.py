"""Rewards by name: `brevity`, `humor`, `safety`; others are added with `register_reward`."""

from functools import partial

from palm_engine.rewards.interface import Reward
from palm_engine.rewards.length import Brevity
from palm_engine.rewards.probe import load_probe
from palm_engine.rewards.registry import get_reward, make_reward, register_reward, reward_names

register_reward("brevity", Brevity)
for _name in ("humor", "safety", "humor.second", "safety.second"):
    register_reward(_name, partial(load_probe, _name))

__all__ = ["Reward", "get_reward", "make_reward", "register_reward", "reward_names"]
