"""Fresh answers are scored by the bundle's own rewards, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from palm_engine.bundle.folder import Bundle
from palm_engine.errors import InvalidInputError
from palm_engine.lm.settings import SamplingSettings
from palm_engine.rewards import get_reward, register_reward
from palm_engine.rewards.interface import fingerprint_of
from palm_engine.serving.scoring import Scorer
from tests.support.bundles import make_bundle


def measured(bundle: Bundle, **changes: object) -> Bundle:
    """The bundle, all traits measured by `length`, changed."""
    made = get_reward("length")
    measure = {"reward": "length", "reward_sha256": fingerprint_of(made), "card": made.card}  # type: ignore[attr-defined]
    traits = tuple(t.model_copy(update=measure | changes) for t in bundle.manifest.traits)
    return Bundle(bundle.folder, bundle.manifest.model_copy(update={"traits": traits}))


def test_an_answer_is_scored_by_the_reward_of_the_recorded_ones(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    scorer = Scorer(measured(bundle))
    assert scorer.missing == []
    assert scorer("Why?", "Because.", 8) == dict.fromkeys(bundle.traits, 0.5)
    assert scorer("Why?", "...", 8) == dict.fromkeys(bundle.traits, 0.0)
    # However long answers are that came since.
    bundle.samples["tokens"] = 500
    assert Scorer(measured(bundle)).missing == []


@pytest.mark.parametrize("found", [1.7, float("nan"), -0.2])
def test_a_score_that_is_none_is_refused(tmp_path: Path, found: float) -> None:
    class Odd:
        name = "test.odd"
        normalisation = "none"

        def score(
            self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
        ) -> np.ndarray:
            return np.array([found])

    register_reward("test.odd", Odd)
    bundle = measured(make_bundle(tmp_path / "b"), reward="test.odd", reward_sha256=None)
    with pytest.raises(InvalidInputError, match=r"test\.odd"):
        Scorer(bundle)("Why?", "Because.", 8)


def test_the_limit_of_length_is_that_of_the_bundles_sampling(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    longer = bundle.manifest.model_copy(update={"sampling": SamplingSettings(max_new_tokens=512)})
    of_512 = fingerprint_of(get_reward("length", 512))
    scorer = Scorer(measured(Bundle(bundle.folder, longer), reward_sha256=of_512, card=None))
    assert scorer.missing == []
    assert scorer("Why?", "Because.", 100)[bundle.traits[0]] > 0.2


def test_another_reward_of_the_same_name_scores_nothing(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    for changes, why in (
        ({"reward_sha256": "0" * 64}, f"{bundle.traits[0]} (length, changed since)"),
        ({"reward": "nobody knows"}, f"{bundle.traits[0]} (nobody knows)"),
    ):
        scorer = Scorer(measured(bundle, **changes))
        assert scorer.missing[0] == why
        assert scorer("Why?", "Because.", 8) == {}
    # Recorded before rewards had fingerprints: nothing is known against it.
    assert Scorer(measured(bundle, reward_sha256=None)).missing == []
