"""PALM Atlas: plan, train, certify and explore portfolios of aligned language models.

The public API; each name is loaded when it is first used. Documented in docs/ and at
`help(palm_engine.select)`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from palm_engine._version import __version__

if TYPE_CHECKING:
    from palm_engine.analysis.by_utility import UtilitySelection, select_by_utility
    from palm_engine.analysis.choosing import certify, plan, select, size_curve
    from palm_engine.bundle.folder import Bundle, read_bundle
    from palm_engine.bundle.writing import write_bundle
    from palm_engine.errors import PalmError
    from palm_engine.geometry.confidence import Bound
    from palm_engine.geometry.fields import coverage
    from palm_engine.geometry.gap import WorstGap, worst_gap
    from palm_engine.geometry.region import Region
    from palm_engine.geometry.users import Users
    from palm_engine.oracles.gibbs import GibbsOracle
    from palm_engine.oracles.interface import Oracle
    from palm_engine.oracles.table import TableOracle
    from palm_engine.rewards.interface import Reward
    from palm_engine.rewards.registry import register_reward
    from palm_engine.selection.methods import METHODS
    from palm_engine.selection.options import Options
    from palm_engine.selection.result import Average, Selection, Target
    from palm_engine.serving.router import Route, Router
    from palm_engine.tables.read import read_reward_table
    from palm_engine.tables.reward_table import RewardTable

__all__ = [
    "METHODS",
    "Average",
    "Bound",
    "Bundle",
    "GibbsOracle",
    "Options",
    "Oracle",
    "PalmError",
    "Region",
    "Reward",
    "RewardTable",
    "Route",
    "Router",
    "Selection",
    "TableOracle",
    "Target",
    "Users",
    "UtilitySelection",
    "WorstGap",
    "__version__",
    "certify",
    "coverage",
    "plan",
    "read_bundle",
    "read_reward_table",
    "register_reward",
    "select",
    "select_by_utility",
    "size_curve",
    "worst_gap",
    "write_bundle",
]

_HOMES = {
    "METHODS": "selection.methods",
    "Average": "selection.result",
    "Bound": "geometry.confidence",
    "Bundle": "bundle.folder",
    "GibbsOracle": "oracles.gibbs",
    "Options": "selection.options",
    "Oracle": "oracles.interface",
    "PalmError": "errors",
    "Region": "geometry.region",
    "Reward": "rewards.interface",
    "RewardTable": "tables.reward_table",
    "Route": "serving.router",
    "Router": "serving.router",
    "Selection": "selection.result",
    "TableOracle": "oracles.table",
    "Target": "selection.result",
    "Users": "geometry.users",
    "UtilitySelection": "analysis.by_utility",
    "WorstGap": "geometry.gap",
    "certify": "analysis.choosing",
    "coverage": "geometry.fields",
    "plan": "analysis.choosing",
    "read_bundle": "bundle.folder",
    "read_reward_table": "tables.read",
    "register_reward": "rewards.registry",
    "select": "analysis.choosing",
    "select_by_utility": "analysis.by_utility",
    "size_curve": "analysis.choosing",
    "worst_gap": "geometry.gap",
    "write_bundle": "bundle.writing",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'palm_engine' has no attribute {name!r}")
    return getattr(import_module(f"palm_engine.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
