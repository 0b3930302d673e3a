"""Scores are kept by content under the reward's fingerprint; configurations name rewards."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from palm_engine.errors import ConfigError, InvalidInputError
from palm_engine.pipeline.assemble import trait_info
from palm_engine.pipeline.config import load_config
from palm_engine.pipeline.recorded import recorded_rewards
from palm_engine.pipeline.rewards import CHUNK, Measure, TraitRewards, register_from
from palm_engine.pipeline.store import Store
from palm_engine.rewards import get_reward
from palm_engine.rewards.gated import Gated
from palm_engine.rewards.interface import OutOfRangeError

CONFIG = """
name = "mine"
title = "mine"
base = "nowhere"

[data]
prompts = "prompts.csv"

[sampling]
max_new_tokens = 128

[[traits]]
name = "short"
[traits.reward]
kind = "length"
gate = {kind = "function", entry = "gates:polite"}
[traits.second]
kind = "length"
scale = "linear"

[[traits]]
name = "words"
[traits.reward]
kind = "function"
entry = "gates:words"
"""
GATES = """
def polite(prompts, answers):
    return ["please" in a for a in answers]

def words(prompts, answers):
    return [min(1, len(a.split()) / 10) for a in answers]
"""


class Counting:
    """Scores by length of text, and counts what it was asked."""

    normalisation = "none"

    def __init__(self, version: str = "1", fails_after: int | None = None) -> None:
        self.name, self.fingerprint, self.fails_after = "counting", version, fails_after
        self.asked: list[str] = []

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> np.ndarray:
        """A number of the length alone."""
        if self.fails_after is not None and len(self.asked) >= self.fails_after:
            raise InvalidInputError("no more")
        self.asked += answers
        return np.array([1 / (1 + len(a)) for a in answers])


def answers(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"prompt_id": "p", "text": texts, "tokens": 1})


def rewards(store: Store, reward: Counting) -> TraitRewards:
    return TraitRewards([Measure("t", reward, "counting")], store)


def test_a_rerun_costs_nothing_and_a_changed_reward_is_never_stale(tmp_path: Path) -> None:
    first = Counting()
    found = rewards(Store(tmp_path), first).score(answers("a", "bb", "a"), {"p": "?"})
    assert found["t"].tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 2])
    assert first.asked == ["a", "bb"], "each text once"
    again = Counting()
    more = rewards(Store(tmp_path), again).score(answers("bb", "ccc"), {"p": "?"})
    assert more["t"].tolist() == pytest.approx([1 / 3, 1 / 4])
    assert again.asked == ["ccc"]
    other_prompt = Counting()
    rewards(Store(tmp_path), other_prompt).score(answers("bb"), {"p": "another"})
    assert other_prompt.asked == ["bb"]
    changed = Counting("2")
    rewards(Store(tmp_path), changed).score(answers("a", "bb"), {"p": "?"})
    assert changed.asked == ["a", "bb"]


def test_what_was_scored_before_a_failure_is_kept(tmp_path: Path) -> None:
    texts = ["x" * i for i in range(2 * CHUNK)]
    done: list[float] = []
    with pytest.raises(InvalidInputError, match="no more"):
        rewards(Store(tmp_path), Counting(fails_after=CHUNK)).score(
            answers(*texts), {"p": "?"}, done.append
        )
    assert sum(done) == pytest.approx(0.5)
    resumed = Counting()
    rewards(Store(tmp_path), resumed).score(answers(*texts), {"p": "?"}, done.append)
    assert len(resumed.asked) == CHUNK
    assert sum(done) == pytest.approx(1.5)


def test_a_configuration_names_rewards_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(CONFIG)
    (tmp_path / "gates.py").write_text(GATES)
    made = TraitRewards.of(load_config(tmp_path / "mine.toml"), tmp_path)
    assert made.traits == ["short", "words"]
    short, words = made.measures
    assert list(short.judges) == ["length x function gates:polite", "length linear"]
    assert list(words.judges) == ["function gates:words"]
    found = made.score(answers("yes please", "no"), {"p": "?"})
    assert found["short"].tolist() == [1.0, 0.0]
    assert found["words"].tolist() == pytest.approx([0.2, 0.1])
    assert len(set(made.key())) == 2


def test_the_rewards_of_a_configuration_are_known_to_its_bundles(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(CONFIG)
    (tmp_path / "gates.py").write_text(GATES)
    config = load_config(tmp_path / "mine.toml")
    rewards = TraitRewards.of(config, tmp_path)
    recorded = [trait_info(m) for m in rewards.measures]
    register_from(tmp_path / "mine.toml", tmp_path)
    again, changed = recorded_rewards(recorded, config.sampling.max_new_tokens, None)
    assert not changed
    assert again.key() == rewards.key()


def test_rewards_of_one_name_are_told_apart(tmp_path: Path) -> None:
    judge = """
[[traits]]
name = "{0}"
[traits.reward]
kind = "judge"
url = "http://localhost:1/v1"
model = "m"
rubric = "How {0} is the answer?"
"""
    short = """
[[traits]]
name = "short"
reward = {kind = "length", scale = "linear"}
"""
    head = CONFIG.partition("[[traits]]")[0]
    text = head + judge.format("helpful") + judge.format("polite") + short
    (tmp_path / "mine.toml").write_text(text)
    made = TraitRewards.of(load_config(tmp_path / "mine.toml"), tmp_path)
    recorded = [trait_info(m) for m in made.measures]
    assert recorded[0].reward == recorded[1].reward == "judge m"
    register_from(tmp_path / "mine.toml", tmp_path)
    again, changed = recorded_rewards(recorded, 128, None)
    assert not changed
    assert again.key() == made.key()
    # By its fingerprint under another trait's name, and by the trait's where it has changed.
    renamed = recorded[1].model_copy(update={"name": "courteous"})
    assert recorded_rewards([renamed], 128, None)[0].key() == made.key()[1:2]
    older = recorded[1].model_copy(update={"reward_sha256": "of before"})
    found, changed = recorded_rewards([older], 128, None)
    assert changed
    assert found.key() == made.key()[1:2]
    with pytest.raises(InvalidInputError, match="2 rewards called 'judge m'"):
        recorded_rewards([older.model_copy(update={"name": "kind"})], 128, None)
    # A name that is built in means what it meant.
    assert get_reward("length").score([], ["a"], [8]) == pytest.approx(0.5, abs=0.1)
    of_table = recorded[2].model_copy(
        update={"name": "brief", "reward": "length", "reward_sha256": None}
    )
    assert recorded_rewards([of_table], 128, None)[0].key() != made.key()[2:]


def test_a_reward_that_cannot_score_is_found_by_one_answer_and_its_score_is_kept(
    tmp_path: Path,
) -> None:
    counting = Counting()
    made = rewards(Store(tmp_path), counting)
    made.try_out("p")
    assert len(counting.asked) == 1
    rewards(Store(tmp_path), counting).try_out("p")
    assert len(counting.asked) == 1
    with pytest.raises(InvalidInputError, match="no more"):
        rewards(Store(tmp_path), Counting(fails_after=0)).try_out("another")


def test_what_a_judge_costs_is_counted() -> None:
    judge = Counting()
    made = TraitRewards([Measure("t", judge, "judge m")])
    assert made.spent() == []
    vars(judge).update(tokens_read=12_000, tokens_written=90, cost=0.5)
    assert made.spent() == ["judge m: 12,000 tokens read, 90 written, 0.50 at its price"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('entry = "gates:words"', 'entry = "gates"'), "traits.1.*entry"),
        (('kind = "length"\ngate', 'kind = "lenght"\ngate'), "traits.0.reward"),
        (('scale = "linear"', 'gate = "speed"'), "reward 'speed' is not registered"),
        (('scale = "linear"', 'colour = "red"'), "colour"),
    ],
)
def test_a_wrong_reward_is_refused_when_the_configuration_is_read(
    tmp_path: Path, change: tuple[str, str], why: str
) -> None:
    assert change[0] in CONFIG
    (tmp_path / "mine.toml").write_text(CONFIG.replace(*change))
    with pytest.raises(ConfigError, match=why):
        load_config(tmp_path / "mine.toml")


def test_a_score_out_of_range_is_refused_with_reward_and_row() -> None:
    class Odd(Counting):
        def score(
            self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
        ) -> np.ndarray:
            return np.array([0.5, 1.2][: len(answers)])

    rewards = TraitRewards([Measure("odd", Odd(), "counting")])
    frame = pd.DataFrame({"prompt_id": ["p", "p"], "text": ["a", "b"], "tokens": [1, 1]})
    with pytest.raises(InvalidInputError, match=r"'counting', row 1: score 1\.2 .*'b'"):
        rewards.score(frame, {"p": "Why?"})


def test_the_row_is_that_of_the_answers_and_not_of_a_part_of_them() -> None:
    class Odd(Counting):
        def score(
            self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
        ) -> np.ndarray:
            return np.array([1.2 if a == "answer 1300" else 0.5 for a in answers])

    rewards = TraitRewards([Measure("odd", Odd(), "counting")])
    # Every answer below 700 stands there twice: what was scored isn't scored again.
    texts = [f"answer {i % 700 if i < 1300 else i}" for i in range(1400)]
    frame = pd.DataFrame({"prompt_id": "p", "text": texts, "tokens": 1})
    with pytest.raises(InvalidInputError, match=r"row 1300: score 1\.2 .*'answer 1300' to 'Why\?'"):
        rewards.score(frame, {"p": "Why?"})
    assert (
        str(pickle.loads(pickle.dumps(OutOfRangeError("a", 3, "odd")))) == "reward 'a', row 3: odd"
    )


def test_every_judge_that_was_asked_is_counted_once() -> None:
    class Paid(Counting):
        def __init__(self, read: int) -> None:
            super().__init__()
            self.tokens_read, self.tokens_written, self.cost = read, 2, 0.5

    own, gate, second = Paid(1000), Paid(20), Paid(3)
    gated = Gated(own, gate)
    rewards = TraitRewards(
        [
            Measure("a", gated, "graded", {"graded": gated, "second": second}),
            Measure("b", own, "again"),
        ]
    )
    told = rewards.spent()
    assert len(told) == 3
    assert {t.split(": ")[1].split()[0] for t in told} == {"1,000", "20", "3"}
    assert all("0.50 at its price" in t for t in told)
