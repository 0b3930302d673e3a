"""The certificate: chosen on choose prompts, certified on others, every figure recomputed."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from palm_engine.bundle.names import trained_name
from palm_engine.geometry.gap import worst_gap
from palm_engine.pipeline.certify import CERTIFY_STEPS, Evaluated, certify
from palm_engine.pipeline.rewards import TraitRewards
from tests.support.build import OUTSIDE, evaluated, no_encoder, small_config

__all__ = ["no_encoder"]
pytestmark = pytest.mark.usefixtures("no_encoder")
REWARDS = TraitRewards.of(small_config())


def means(split: str) -> tuple[list[str], np.ndarray]:
    data = evaluated()
    rows = data.samples[data.samples["prompt_id"].str.startswith(split)]
    table = rows.groupby("policy")[list(data.traits)].mean()
    return data.policies, table.loc[data.policies].to_numpy()


def test_members_are_the_best_on_choose_and_the_gap_is_that_on_certify() -> None:
    steps: list[float] = []
    members, certificate = certify(evaluated(), small_config(), REWARDS, 0.01, steps.append)
    assert sum(steps) == CERTIFY_STEPS
    names, choose = means("choose")
    gaps = {
        pair: worst_gap(choose[list(pair)], choose).additive
        for pair in combinations(range(len(names)), 2)
    }
    best = min(gaps, key=gaps.__getitem__)
    assert members == tuple(names[i] for i in best)
    assert certificate.choose_gap == pytest.approx(gaps[best])
    _, held_out = means("certify")
    exact = worst_gap(held_out[list(best)], held_out)
    assert certificate.additive.estimate == pytest.approx(exact.additive)
    assert certificate.additive.prompts == 12
    assert certificate.planned_gap == 0.01
    assert [p.k for p in certificate.curve] == list(range(1, len(certificate.curve) + 1))


def test_certify_prompts_have_no_say_in_the_choice() -> None:
    data = evaluated()
    held_out = data.samples["prompt_id"].str.startswith("certify")
    data.samples.loc[held_out, list(data.traits)] = 0.5
    members, certificate = certify(data, small_config(), REWARDS, None)
    assert members == certify(evaluated(), small_config(), REWARDS, None)[0]
    assert certificate.additive.estimate == 0


def test_corners_are_compared_by_every_judge_and_outsiders_at_their_weights() -> None:
    _, certificate = certify(evaluated(), small_config(), REWARDS, None)
    judges = {(t.trait, t.judge) for t in certificate.corner_tests}
    assert judges == {("calm", "calm"), ("calm", "calm.second"), ("quick", "quick")}
    data = evaluated()
    rows = data.samples[data.samples["prompt_id"].str.startswith("certify")]
    for test in certificate.corner_tests:
        by_policy = rows.groupby("policy")[test.trait].mean()
        difference = by_policy[test.adapter] - by_policy[test.rival]
        assert test.difference.estimate == pytest.approx(difference)
        assert test.difference.lower > 0
    (outside,) = certificate.outside_test
    assert outside.policy == OUTSIDE
    own = rows[rows["policy"] == OUTSIDE][list(data.traits)].mean().to_numpy() @ [0.3, 0.7]
    assert outside.value == pytest.approx(own)
    assert outside.gap == pytest.approx(outside.value - outside.portfolio_value)


def test_diversity_counts_a_portfolios_own_members() -> None:
    _, certificate = certify(evaluated(), small_config(), REWARDS, None)
    named = {d.portfolio: d for d in certificate.diversity}
    assert set(named) == {"exact", "palm", "uniform", "random"}
    # Random unit vectors are nearly orthogonal.
    assert named["exact"].distance == pytest.approx(1, abs=0.1)
    assert named["exact"].vendi == pytest.approx(2, abs=0.1)


def test_five_traits_are_certified_without_a_grid_that_can_not_be_made() -> None:
    rng = np.random.default_rng(0)
    traits = ["a", "b", "c", "d", "e"]
    policies = [trained_name(row) for row in np.eye(5)] + ["base"]
    rows = [
        {
            "policy": p,
            "prompt_id": f"{s}-{q}",
            "sample_id": 0,
            "text": "calm 0.5 quick 0.5",
            "tokens": 3,
        }
        | dict(zip(traits, rng.random(5), strict=True))
        for p in policies
        for s in ("choose", "certify")
        for q in range(8)
    ]
    ids = [f"{s}-{q}" for s in ("choose", "certify") for q in range(8)]
    prompts = pd.DataFrame(
        {"prompt_id": ids, "split": [i.partition("-")[0] for i in ids], "text": ids}
    )
    data = Evaluated(policies, {}, traits, pd.DataFrame(rows), prompts)
    config = small_config(traits=[{"name": t, "reward": "calm"} for t in traits])
    members, certificate = certify(data, config, TraitRewards.of(config), None)
    assert len(members) == config.selection.k
    assert {d.portfolio for d in certificate.diversity} >= {"exact"}
    assert "palm" not in {d.portfolio for d in certificate.diversity}
