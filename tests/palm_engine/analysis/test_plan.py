"""The planner: Gibbs policies, exact portfolios, a configuration that builds."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from palm_engine.analysis.plan import (
    REFERENCE,
    _smallest,
    average_value,
    plan,
    plan_config,
    trained_before,
    trainings_planned,
    virtual_policies,
)
from palm_engine.bundle.folder import read_bundle
from palm_engine.errors import ConfigError
from palm_engine.geometry.fields import population
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.simplex import grid
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.pipeline.config import BuildConfig
from palm_engine.pipeline.plan import plan_pool
from palm_engine.selection.minimum import size_curve
from palm_engine.selection.result import Selection, Target

ROOT = Path(__file__).resolve().parents[3]


DEMO = ROOT / "portfolios" / "demo"


def test_a_plan_is_of_gibbs_policies_and_its_gap_is_theirs() -> None:
    rewards = np.random.default_rng(3).random((5, 6, 3))
    for with_kl_cost in (False, True):
        info = plan(rewards, [0.1], Target(k=3), with_kl_cost, most=4)
        policies = info.policies
        oracle = GibbsOracle(rewards, 0.1)
        solved = oracle.solve(policies.weights[:5])
        assert np.allclose(policies.rewards[:5], solved.rewards)
        cost = policies.kl_cost[:, None] if with_kl_cost else 0.0
        assert np.allclose(policies.points, policies.rewards - cost)
        assert (REFERENCE in policies.names) == with_kl_cost
        members = list(info.chosen.members)
        sampled = grid(3, 40)
        behind = (sampled @ policies.points.T).max(axis=1) - (
            sampled @ policies.points[members].T
        ).max(axis=1)
        assert behind.max() <= info.chosen.gap.additive + 1e-9
        gaps = [s.gap.additive for s in info.curve]
        assert gaps == sorted(gaps, reverse=True)
    if with_kl_cost:
        # With the cost a Gibbs policy is the best of the pool at its own weights.
        own = (policies.points[:-1] * policies.weights[:-1]).sum(axis=1)
        assert (own >= (policies.weights[:-1] @ policies.points.T).max(axis=1) - 1e-9).all()


def test_a_tolerance_is_planned_with_the_fewest() -> None:
    rewards = np.random.default_rng(4).random((5, 6, 3))
    info = plan(rewards, [0.1], Target(delta=0.02), most=8)
    size = len(info.chosen.members)
    assert info.chosen.gap.additive <= 0.02 + 1e-6
    assert size == 1 or info.curve[size - 2].gap.additive > 0.02
    assert info.chosen.gap == info.curve[size - 1].gap, "headline and curve say one thing"


def test_a_search_that_ran_out_of_time_gives_way_to_a_smaller_portfolio_of_the_curve() -> None:
    policies = virtual_policies(np.random.default_rng(4).random((5, 6, 3)), [0.1])
    points = policies.points
    curve = size_curve(points, 8)
    target = Target(delta=0.02)
    every = tuple(range(len(points)))
    late = Selection(
        "minimum", every, points, worst_gap(points, points), size_lower_bound=2, stopped="time"
    )
    found = _smallest(late, curve, target, policies)
    fits = [s for s in curve if s.gap.additive <= 0.02 + 1e-9]
    assert len(found.members) == min(len(s.members) for s in fits) < len(every)
    assert found.proved == (len(found.members) == 2)
    assert _smallest(found, curve, target, policies).members == found.members


def test_the_planned_configuration_is_one_that_palm_build_reads() -> None:
    config = dict(read_bundle(DEMO).manifest.built.config)
    text = plan_config(config, "mine", ["safety", "brevity"], 0.05, 4)
    read = BuildConfig.model_validate(tomllib.loads(text))
    assert [t.name for t in read.traits] == ["safety", "brevity"]
    assert (read.name, read.plan.betas, read.selection.k) == ("mine", (0.05,), 4)
    moved = [{"safety": 0.25, "brevity": 0.75}, {"safety": 1.0, "brevity": 0.0}]
    text = plan_config(config, "mine", ["safety", "brevity"], 0.05, 2, moved)
    assert BuildConfig.model_validate(tomllib.loads(text)).plan.members == tuple(moved)
    with pytest.raises(ConfigError, match="palm build"):
        plan_config({}, "mine", ["a", "b"], 0.05, 4)


def test_virtual_policies_name_their_weights() -> None:
    policies = virtual_policies(np.random.default_rng(0).random((2, 3, 2)), [0.1])
    assert policies.names[0] == "plan-" + "-".join(
        f"{round(100 * x):02d}" for x in policies.weights[0]
    )


@pytest.mark.parametrize(("adapters", "baseline", "outside", "k"), [(5, 2, 1, 2), (9, 1, 0, 5)])
def test_a_plan_says_how_many_adapters_its_build_trains(
    adapters: int, baseline: int, outside: int, k: int
) -> None:
    config = read_bundle(DEMO).manifest.built.config
    section = config["plan"]
    assert isinstance(section, dict)
    plan_of = {
        **section,
        "adapters": adapters,
        "baseline_size": baseline,
        "outside": outside,
        "resolution": 10,
    }
    text = plan_config({**config, "plan": plan_of}, "x", ["safety", "humor", "brevity"], 0.05, k)
    built = BuildConfig.model_validate(tomllib.loads(text))
    counted = trainings_planned({**config, "plan": plan_of}, k, 3)
    assert counted is not None
    most, before = counted
    rewards = np.random.default_rng(0).random((6, 8, 3))
    planned = plan_pool(rewards, built).adapters
    # Weights that two rules ask for are trained once.
    assert most - baseline - 1 <= len(planned) <= most
    # As Build.rounds cuts what it trains before the last round.
    early = [planned[: built.rounds.adapters] for _ in range(1, built.rounds.count)]
    assert before == sum(map(len, early)) > 0
    assert trainings_planned({}, 3, 3) is None


@pytest.mark.parametrize(
    ("rounds", "before"),
    [({}, 0), ({"count": 1}, 0), ({"count": 3}, 14), ({"count": 3, "adapters": 4}, 8)],
)
def test_adapters_of_earlier_rounds_were_trained_too(rounds: dict[str, int], before: int) -> None:
    assert trained_before({"rounds": rounds} if rounds else {}, 7) == before


def test_the_average_user_gets_the_best_of_what_is_planned() -> None:
    info = plan(np.random.default_rng(1).random((5, 6, 3)), [0.1], Target(k=2), resolution=8)
    rows = list(info.chosen.members)
    w = population(3)
    expected = (info.policies.points[rows] @ w.T).max(axis=0).mean()
    assert average_value(info.policies, rows) == pytest.approx(expected)
    everything = average_value(info.policies, range(len(info.policies.names)))
    assert everything >= average_value(info.policies, rows)
