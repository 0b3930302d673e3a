"""What a build trains: the plan, its baselines, the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from palm_engine.analysis.plan import plan
from palm_engine.pipeline.config import BuildConfig, load_config
from palm_engine.pipeline.plan import plan_pool
from palm_engine.selection.result import Target

ROOT = Path(__file__).resolve().parents[3]


DEMO = ROOT / "configs" / "demo.toml"


def test_the_plan_holds_corners_and_both_baselines_and_is_the_same_every_time() -> None:
    config = load_config(DEMO)
    config = config.model_copy(update={"plan": config.plan.model_copy(update={"resolution": 20})})
    rewards = np.random.default_rng(0).random((8, 10, 3))
    plan = plan_pool(rewards, config)
    roles = [p.role for p in plan.adapters]
    assert roles.count("corner") == 3
    assert roles.count("outside") == config.plan.outside
    assert roles.count("random") >= 1
    assert sum(r in ("corner", "plan", "spread") for r in roles) >= config.plan.adapters
    assert plan.planned_lower_bound == pytest.approx(plan.planned_gap, abs=1e-9)
    assert len({tuple(p.weights) for p in plan.adapters}) == len(plan.adapters)
    again = plan_pool(rewards, config)
    assert np.array_equal([p.weights for p in plan.adapters], [p.weights for p in again.adapters])


def test_members_that_were_moved_by_hand_are_what_is_trained() -> None:
    rewards = np.random.default_rng(1).random((6, 8, 3))
    config = load_config(DEMO)
    wanted = ({"safety": 3, "humor": 1}, {"brevity": 1}, {"safety": 0.5, "brevity": 0.5})
    section = config.plan.model_copy(update={"resolution": 12, "members": wanted})
    built = plan_pool(rewards, config.model_copy(update={"plan": section}))
    weights = [[0.75, 0.25, 0], [0, 0, 1], [0.5, 0, 0.5]]
    assert built.planned_weights == pytest.approx(np.array(weights), abs=1e-9)
    trained = {tuple(np.round(p.weights, 6)) for p in built.adapters}
    assert {tuple(w) for w in np.array(weights)} <= trained
    free = config.plan.model_copy(update={"resolution": 12})
    selection = config.selection.model_copy(update={"k": 3})
    best = plan_pool(rewards, config.model_copy(update={"plan": free, "selection": selection}))
    assert built.planned_gap > best.planned_gap
    raw = config.model_dump(mode="json")
    raw["plan"]["members"] = [{"wit": 1}]
    with pytest.raises(ValidationError, match=r"plan.members.0: 'wit' isn't a trait"):
        BuildConfig.model_validate(raw)


def test_the_build_plans_what_the_plan_page_shows() -> None:
    rewards = np.random.default_rng(1).random((6, 8, 3))
    config = load_config(DEMO)
    config = config.model_copy(
        update={
            "plan": config.plan.model_copy(update={"resolution": 12}),
            "selection": config.selection.model_copy(update={"k": 3}),
        }
    )
    built = plan_pool(rewards, config)
    page = plan(rewards, config.plan.betas, Target(k=3), resolution=12, most=4)
    members = page.policies.weights[list(page.chosen.members)]
    assert np.array_equal(built.planned_weights, members)
    assert built.planned_gap == page.chosen.gap.additive
    roles = {tuple(p.weights): p.role for p in built.adapters}
    assert all(roles[tuple(w)] in ("plan", "corner") for w in members)
