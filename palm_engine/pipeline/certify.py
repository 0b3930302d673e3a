"""Stage 6: choose on the `choose` prompts, then open the `certify` prompts once.

The certificate holds the worst gap with its bound, the curve by size, the corner tests, diversity,
and adapters kept outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from palm_engine._types import Floats
from palm_engine.analysis.plan import RESOLUTION
from palm_engine.bundle.names import trained_name
from palm_engine.bundle.schema import (
    Certificate,
    CornerTest,
    CurvePoint,
    Diversity,
    OutsideTest,
)
from palm_engine.bundle.tables import clusters_of
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.confidence import (
    gap_difference_bound,
    mean_bound,
    simultaneous_bounds,
    span_of,
    worst_gap_bound,
)
from palm_engine.geometry.envelope import upper_envelope
from palm_engine.geometry.gap import worst_additive_gap, worst_gap
from palm_engine.geometry.simplex import named_weights, random_design, uniform_design
from palm_engine.pipeline.config import BuildConfig, Selection
from palm_engine.pipeline.diversity import answer_diversity
from palm_engine.pipeline.evaluate import prompt_means
from palm_engine.pipeline.rewards import TraitRewards
from palm_engine.selection.minimum import minimum, size_curve
from palm_engine.selection.options import Options
from palm_engine.selection.palm import palm
from palm_engine.selection.parts.average import with_least_expected_gap
from palm_engine.selection.parts.cuts import TOLERANCE
from palm_engine.selection.result import Target
from palm_engine.tables.repeats import warnings_of

MOST_CURVE = 8
CERTIFY_STEPS = 5


@dataclass(frozen=True)
class Evaluated:
    """Everything the certificate is made from: names and scored answers by split.

    Attributes:
        policies: the candidates.
        outside: weights of adapters kept out of them, by name.
        traits: names.
        samples: scored answers.
        prompts: with their split.
        costs: taken off the values, by policy; empty where none are counted.
    """

    policies: list[str]
    outside: dict[str, Floats]
    traits: list[str]
    samples: pd.DataFrame
    prompts: pd.DataFrame
    costs: dict[str, float] = field(default_factory=dict)

    @cached_property
    def warnings(self) -> dict[str, str]:
        """What is odd about policies' answers to held-out prompts, by policy."""
        ids = self.prompts.loc[self.prompts["split"] != "train", "prompt_id"]
        return warnings_of(self.samples[self.samples["prompt_id"].isin(ids)], len(ids))

    def scores(self, split: str, policies: Sequence[str] | None = None) -> Floats:
        """(prompts of the split, policies, traits), averaged over a prompt's answers."""
        ids = self.prompts.loc[self.prompts["split"] == split, "prompt_id"]
        return prompt_means(self.samples, policies or self.policies, list(ids), self.traits)

    def clusters(self, split: str) -> list[str] | None:
        """The cluster of each prompt of the split; None where prompts name none."""
        return clusters_of(self.prompts[self.prompts["split"] == split])

    def values(self, split: str) -> Floats:
        """The candidates' scores less their costs, (prompts of the split, policies, traits)."""
        costs = np.array([self.costs.get(p, 0.0) for p in self.policies])
        return np.asarray(self.scores(split) - costs[None, :, None])


def certify(
    data: Evaluated,
    config: BuildConfig,
    rewards: TraitRewards,
    planned_gap: float | None,
    done: Callable[[float], None] = lambda _: None,
) -> tuple[tuple[str, ...], Certificate]:
    """Select the members of a build on `choose`, certify them on `certify`.

    The certificate also holds what only a build can test: the corners against each other, the
    answers' diversity, and adapters kept outside.

    Args:
        data: what was evaluated.
        config: of the build.
        rewards: of the configuration; corner tests ask their judges.
        planned_gap: the plan's worst gap, or None.
        done: called CERTIFY_STEPS times with 1, as the parts are finished.

    Returns:
        The members' names, and the certificate.
    """
    members, certificate = select_and_certify(
        data, config.selection, config.seed, planned_gap, done
    )
    if not config.train:
        done(2)
        return members, certificate
    corner_tests = _corner_tests(data, config, rewards)
    done(1)
    rows = [data.policies.index(m) for m in members]
    diversity = _diversity(data, config, rows)
    done(1)
    mean = data.scores("certify").mean(axis=0)
    return members, certificate.model_copy(
        update={
            "corner_tests": corner_tests,
            "diversity": diversity,
            "outside_test": _outside_test(data, mean[rows]),
        }
    )


def select_and_certify(
    data: Evaluated,
    settings: Selection,
    seed: int,
    planned_gap: float | None = None,
    done: Callable[[float], None] = lambda _: None,
    members: Sequence[str] | None = None,
) -> tuple[tuple[str, ...], Certificate]:
    """Select k members on the prompts of `choose`, certify them on those of `certify`.

    Args:
        data: what was evaluated, on both splits.
        settings: how many members, and the confidence of the bound.
        seed: of the resampling.
        planned_gap: the plan's worst gap, or None.
        done: called three times with 1, as the parts are finished.
        members: to certify in place of the k best.

    Returns:
        The members' names, and the certificate.
    """
    choose = data.values("choose").mean(axis=0)
    options = Options(time_limit=settings.seconds)
    best = minimum(choose, Target(k=settings.k), options)
    chosen = with_least_expected_gap(choose, best, settings.slack)
    method = "minimum (exact best k of the candidates)"
    if settings.slack:
        method += f", then the least expected gap within {settings.slack:.0%} of its worst gap"
    rows = list(chosen.members)
    if members is not None:
        rows = [data.policies.index(m) for m in members]
        method = "given"
    curve = [
        with_least_expected_gap(choose, s, settings.slack)
        for s in size_curve(choose, MOST_CURVE, options)
    ]
    single = curve[0].members
    done(1)

    certify_scores = data.values("certify")
    mean = certify_scores.mean(axis=0)
    exact = worst_gap(mean[rows], mean)
    arguments: dict[str, Any] = {
        "confidence": settings.confidence,
        "resamples": settings.resamples,
        "seed": seed,
        "clusters": data.clusters("certify"),
        "span": span_of(np.array(list(data.costs.values()))),
    }
    bound = worst_gap_bound(certify_scores, rows, **arguments)
    difference = gap_difference_bound(certify_scores, list(single), rows, **arguments)
    done(1)
    bounds = simultaneous_bounds(certify_scores, [list(s.members) for s in curve], **arguments)
    done(1)
    certificate = Certificate(
        scope="candidates",
        method=method,
        selected_on=f"choose ({(data.prompts['split'] == 'choose').sum()} prompts)",
        certified_on=f"certify ({len(certify_scores)} prompts, opened once)",
        additive=bound,
        multiplicative=exact.multiplicative,
        at_weights=named_weights(exact.at_weights_additive, data.traits),
        tolerance=2 * TOLERANCE,
        choose_gap=worst_additive_gap(choose[rows], choose),
        choose_lower_bound=chosen.gap_lower_bound or 0.0,
        planned_gap=planned_gap,
        single_best=data.policies[single[0]],
        single_best_minus_members=difference,
        curve=tuple(
            CurvePoint(
                k=len(s.members),
                members=_names(s.members, data),
                choose_gap=s.gap.additive,
                choose_lower_bound=s.gap_lower_bound or 0.0,
                gap=b,
            )
            for s, b in zip(curve, bounds, strict=True)
        ),
    )
    return _names(rows, data), certificate


def _corner_tests(
    data: Evaluated, config: BuildConfig, rewards: TraitRewards
) -> tuple[CornerTest, ...]:
    d = len(data.traits)
    corners = [trained_name(row) for row in np.eye(d)]
    certify_ids = list(data.prompts.loc[data.prompts["split"] == "certify", "prompt_id"])
    texts = dict(zip(data.prompts["prompt_id"], data.prompts["text"], strict=True))
    rows = data.samples[
        data.samples["prompt_id"].isin(certify_ids)
        & data.samples["policy"].isin(["base", *corners])
    ]
    tests = []
    asked = [texts[p] for p in rows["prompt_id"]]
    for t, measure in enumerate(rewards.measures):
        for judge, reward in measure.judges.items():
            tokens = [int(n) for n in rows["tokens"]]
            given = [str(text) for text in rows["text"]]
            scored = rows.assign(judged=rewards.scores_by(reward, asked, given, tokens))
            for rival in ["base", *(c for c in corners if c != corners[t])]:
                table = prompt_means(scored, [corners[t], rival], certify_ids, ["judged"])[:, :, 0]
                difference = mean_bound(
                    table[:, 0] - table[:, 1], config.selection.confidence, seed=config.seed
                )
                tests.append(
                    CornerTest(
                        trait=measure.trait,
                        adapter=corners[t],
                        rival=rival,
                        judge=judge,
                        difference=difference,
                    )
                )
    return tuple(tests)


def _diversity(data: Evaluated, config: BuildConfig, members: list[int]) -> tuple[Diversity, ...]:
    choose, certify_mean = (data.scores(s).mean(axis=0) for s in ("choose", "certify"))
    d = choose.shape[1]
    k = config.selection.k
    index = {p: i for i, p in enumerate(data.policies)}
    resolution = config.plan.resolution or RESOLUTION[d]

    def trained(design: Floats) -> list[int]:
        return sorted(index[trained_name(w)] for w in design if trained_name(w) in index)

    named = {
        "exact": members,
        **_by_grid(choose, k),
        "uniform": trained(uniform_design(d, config.plan.baseline_size, resolution)),
        "random": trained(random_design(d, config.plan.baseline_size, config.seed, resolution)),
    }
    portfolios = {name: rows for name, rows in named.items() if rows}
    ids = list(data.prompts.loc[data.prompts["split"] == "certify", "prompt_id"])
    measured = answer_diversity(
        data.samples, ids, {name: _names(rows, data) for name, rows in portfolios.items()}
    )
    return tuple(
        Diversity(
            portfolio=name,
            members=_names(rows, data),
            distance=measured[name][0],
            vendi=measured[name][1],
            worst_gap=worst_additive_gap(certify_mean[rows], certify_mean),
        )
        for name, rows in portfolios.items()
    )


def _by_grid(choose: Floats, k: int) -> dict[str, list[int]]:
    """PALM's portfolio of k; none for so many traits that its grid can't be made."""
    try:
        return {"palm": list(palm(choose, Target(k=k)).members)}
    except InvalidInputError:
        return {}


def _outside_test(data: Evaluated, members: Floats) -> tuple[OutsideTest, ...]:
    tests = []
    for policy, weights in data.outside.items():
        value = float(data.scores("certify", [policy]).mean(axis=0)[0] @ weights)
        ours = float(upper_envelope(members, weights[None])[0])
        tests.append(
            OutsideTest(
                policy=policy,
                weights=named_weights(weights, data.traits),
                value=value,
                portfolio_value=ours,
                gap=value - ours,
            )
        )
    return tuple(tests)


def _names(rows: Sequence[int], data: Evaluated) -> tuple[str, ...]:
    return tuple(data.policies[i] for i in rows)
