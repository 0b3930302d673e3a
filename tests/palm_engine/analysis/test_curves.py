"""Numbers behind the pages: methods compared, plans, losses, costs, users, against slow or
independent references.
"""

from __future__ import annotations

import io
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from palm_engine.analysis.comparison import coarse_grid, compare_methods
from palm_engine.analysis.curves import best_of_every_size
from palm_engine.analysis.guarantee import as_json, planned_and_reached, statements
from palm_engine.analysis.hosting_cost import Assumptions, cost_of
from palm_engine.analysis.plan import REFERENCE, plan, plan_config, virtual_policies
from palm_engine.analysis.populations import read_users
from palm_engine.analysis.worst_served import furthest_behind, worst_served
from palm_engine.bundle.folder import read_bundle
from palm_engine.errors import ConfigError, InvalidInputError, UndefinedGapError
from palm_engine.geometry.fields import coverage
from palm_engine.geometry.gap import worst_additive_gap
from palm_engine.geometry.simplex import grid
from palm_engine.oracles.gibbs import GibbsOracle
from palm_engine.pipeline.config import BuildConfig
from palm_engine.selection.minimum import size_curve
from palm_engine.selection.palm import grid_size, promised_size, size_upper_bound
from palm_engine.selection.result import Target
from tests.support.bundles import sphere

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "portfolios" / "demo"


@settings(max_examples=15)
@given(some.integers(2, 4), some.integers(0, 10_000))
def test_no_method_beats_the_exact_one_where_it_chose(d: int, seed: int) -> None:
    points = sphere(9, d, seed)
    told: list[float] = []
    curves = {
        c.method: c
        for c in compare_methods(points, points, (1, 2, 3), report=lambda s, _: told.append(s))
    }
    assert set(curves) == {"minimum", "greedy", "palm", "uniform", "random"}
    for curve in curves.values():
        for best, gap, rows in zip(curves["minimum"].gaps, curve.gaps, curve.members, strict=True):
            assert gap >= best - 2e-6
            if curve.method != "random":
                assert gap == pytest.approx(
                    worst_additive_gap(points[list(rows)], points), abs=1e-12
                )
    low = curves["random"].low
    high = curves["random"].high
    assert low is not None
    assert high is not None
    assert all(a <= m <= b for a, m, b in zip(low, curves["random"].gaps, high, strict=True))
    assert told == sorted(told)


def test_a_relative_comparison_needs_positive_best_values() -> None:
    points = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    with pytest.raises(UndefinedGapError, match="additive"):
        compare_methods(points, points, (1,), multiplicative=True)


@pytest.mark.parametrize("d", range(2, 9))
def test_the_comparison_grid_stays_small(d: int) -> None:
    side = coarse_grid(d)
    assert grid_size(d, side, side) <= 20_000


@given(some.integers(2, 4), some.floats(0.02, 0.5))
def test_the_promised_size_is_no_larger_than_an_even_split(d: int, gap: float) -> None:
    assert 1 <= promised_size(d, gap) <= size_upper_bound(d, gap / 2, gap / 2)
    assert promised_size(d, gap) >= promised_size(d, min(gap * 1.5, 0.99))
    # A share of a best value that may be small is the stronger promise, so it takes more members.
    assert promised_size(d, gap, 0.3) >= promised_size(d, gap, 1.0) == promised_size(d, gap)


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


def test_the_planned_configuration_is_one_that_palm_build_reads() -> None:
    config = dict(read_bundle(DEMO).manifest.built.config)
    text = plan_config(config, "mine", ["safety", "brevity"], 0.05, 4)
    read = BuildConfig.model_validate(tomllib.loads(text))
    assert [t.name for t in read.traits] == ["safety", "brevity"]
    assert (read.name, read.plan.betas, read.selection.k) == ("mine", (0.05,), 4)
    with pytest.raises(ConfigError, match="palm build"):
        plan_config({}, "mine", ["a", "b"], 0.05, 4)


@settings(max_examples=30)
@given(some.integers(2, 4), some.integers(0, 10_000))
def test_the_worst_served_weights_are_the_worst(d: int, seed: int) -> None:
    points = sphere(8, d, seed)
    found = worst_served(points, [0, 1])
    assert found[0].gap == pytest.approx(worst_additive_gap(points[:2], points), abs=1e-12)
    for served in found:
        values = points @ served.weights
        assert served.gap == pytest.approx(values.max() - values[:2].max(), abs=1e-12)
        assert values[served.best] == pytest.approx(values.max())
    assert worst_served(points, list(range(8))) == []


def test_prompts_furthest_behind_by_hand(bundles: Path) -> None:
    bundle = read_bundle(bundles / "demo")
    samples = bundle.samples.copy()
    w = np.array([0.5, 0.5, 0.0])
    samples.loc[(samples["policy"] == "m2") & (samples["prompt_id"] == "p3"), "safety"] += 0.5
    table = furthest_behind(samples, "m1", "m2", w, bundle.traits)
    assert table["prompt_id"][0] == "p3"
    one, two = (bundle.points[bundle.policies.index(m)] for m in ("m1", "m2"))
    assert table["gap"][0] == pytest.approx((two - one) @ w + 0.25)
    assert len(table) == 6
    with pytest.raises(InvalidInputError, match="nobody"):
        furthest_behind(samples, "nobody", "m2", w, bundle.traits)


def test_relative_coverage_against_a_grid() -> None:
    points = sphere(8, 3, 5)
    sampled = grid(3, 150)
    best = (sampled @ points.T).max(axis=1)
    ours = (sampled @ points[:2].T).max(axis=1)
    exact = float(((best - ours) <= 0.1 * best).mean())
    found = coverage(points[:2], points, 0.1, multiplicative=True)
    assert found.share == pytest.approx(exact, abs=0.03)


def test_costs_add_up() -> None:
    assumed = Assumptions(base_gb=2, adapter_mb=512, train_hours=3, price_per_hour=4)
    cost = cost_of(4, assumed)
    assert (cost.memory_gb, cost.train_hours, cost.price) == (4, 12, 48)
    with pytest.raises(InvalidInputError, match="train_hours"):
        Assumptions(1, 1, -1, 1)


def test_users_are_read_and_scaled() -> None:
    users = read_users(io.BytesIO(b"b,a,note\n1,3,x\n0,2,y\n"), ["a", "b"], "users.csv")
    assert users.tolist() == [[0.75, 0.25], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a\n1\n", "no column 'b'"),
        (b"a,b\n", "1 to"),
        (b"a,b\n1,1\n1,x\n", "row 3, column b"),
        (b"a,b\n1,-1\n", "row 2, column b"),
        (b"a,b\n0,0\n", "row 2"),
        (b"\xff\xfe\x00", "CSV"),
        (b"", "CSV"),
    ],
)
def test_a_wrong_table_of_users_is_refused_by_row_and_column(text: bytes, said: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^users.csv.*") as refused:
        read_users(io.BytesIO(text), ["a", "b"], "users.csv")
    assert said in str(refused.value)


def test_the_demo_says_its_own_numbers() -> None:
    bundle = read_bundle(DEMO)
    certificate = bundle.manifest.certificate
    assert certificate is not None
    said = {
        s.heading: s.text for s in statements(bundle, tuple(bundle.members), certificate.additive)
    }
    assert f"{certificate.additive.estimate:.4f}" in said["Promise"]
    assert f"{certificate.additive.upper:.4f}" in said["Confidence"]
    assert "candidates" in said["Scope"]
    everything = as_json(bundle, tuple(bundle.members), certificate.additive)
    assert everything["worst_gap"]["additive"] == pytest.approx(
        certificate.additive.estimate, abs=2e-6
    )
    reached = {r.policy: r for r in planned_and_reached(bundle)}
    assert set(reached) == {c.policy for c in bundle.manifest.candidates if c.kind == "adapter"}


def test_virtual_policies_name_their_weights() -> None:
    policies = virtual_policies(np.random.default_rng(0).random((2, 3, 2)), [0.1])
    assert policies.names[0] == "plan-" + "-".join(
        f"{round(100 * x):02d}" for x in policies.weights[0]
    )


def test_the_best_of_every_size_is_the_size_curve() -> None:
    points = sphere(9, 3, 6)
    names = tuple(f"p{i}" for i in range(9))
    info = best_of_every_size(points, names, 9)
    expected = size_curve(points, 9)
    assert info.sizes == tuple(len(s.members) for s in expected)
    assert info.choose == pytest.approx([s.gap.additive for s in expected], abs=2e-6)
    assert info.proved
