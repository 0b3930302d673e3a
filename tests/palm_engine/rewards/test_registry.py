"""Rewards by name and by settings: made once, refused early, gated, told apart."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from palm_engine.bundle.schema import TraitInfo
from palm_engine.errors import ConfigError, InvalidInputError, ModelSourceError
from palm_engine.rewards import get_reward, make_reward, register_reward, reward_names
from palm_engine.rewards.interface import Described, fingerprint_of, scores_of
from palm_engine.rewards.settings import RewardSettings, RewardSpec, title_of
from tests.support.fakes import tiny_classifier

SETTINGS: TypeAdapter[RewardSettings] = TypeAdapter(RewardSettings)


def spec(**content: object) -> RewardSettings:
    return SETTINGS.validate_python(content)


class Fixed:
    """Always gives the same."""

    normalisation = "as it is"

    def __init__(self, found: object, name: str = "fixed") -> None:
        self.found, self.name = found, name

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> np.ndarray:
        """What it was made with."""
        if isinstance(self.found, Exception):
            raise self.found
        return self.found  # type: ignore[return-value]


def test_unknown_rewards_are_refused_with_the_known_ones() -> None:
    assert {"brevity", "humor", "safety"} <= set(reward_names())
    with pytest.raises(InvalidInputError, match="brevity"):
        get_reward("speed")


def test_the_demos_rewards_say_what_they_are_and_share_one_model() -> None:
    traits = ("safety", "humor", "brevity", "fit")
    for name in traits:
        card = get_reward(name).card  # type: ignore[attr-defined]
        assert card["use"] == "for a demonstration, not for moderation"
        assert 0.7 < card["AUROC of humor on outputs"] <= 1
        assert card["meaning"]
        assert card["known failures"]
    assert len({fingerprint_of(get_reward(name)) for name in traits}) == len(traits)


def test_a_reward_is_made_once() -> None:
    made: list[int] = []

    def make() -> Fixed:
        made.append(1)
        return Fixed([0.5])

    register_reward("test.once", make)
    assert get_reward("test.once") is get_reward("test.once")
    assert len(made) == 1
    length = spec(kind="length")
    assert make_reward(length) is make_reward(spec(kind="length"))
    assert make_reward(length, most_tokens=99) is not make_reward(length)


def test_the_limit_of_length_follows_the_sampling() -> None:
    short, long = (make_reward(spec(kind="length"), most_tokens=m) for m in (64, 512))
    assert short.score([""], ["x"], [100])[0] == 0
    assert long.score([""], ["x"], [100])[0] > 0.2
    assert fingerprint_of(short) != fingerprint_of(long)


@pytest.mark.parametrize("name", ["length", "brevity"])
def test_the_limit_follows_the_sampling_by_name_too(name: str) -> None:
    short, long = make_reward(name, most_tokens=64), make_reward(name, most_tokens=512)
    assert get_reward(name) is short
    assert get_reward(name, 512) is long
    assert "log(512)" in long.normalisation
    assert fingerprint_of(short) != fingerprint_of(long)
    # What doesn't look at lengths is one whatever they are.
    assert get_reward("safety", 512).normalisation == get_reward("safety").normalisation


def copied(folder: Path) -> Path:
    """A copy of the shipped reward model."""
    from palm_engine import rewards

    return Path(shutil.copytree(Path(rewards.__file__).parent / "weights" / "answers", folder))


def test_a_reward_models_fingerprint_follows_all_that_it_is_made_of(tmp_path: Path) -> None:
    marks = set()

    def mark(folder: Path) -> None:
        settings = spec(kind="reward_model", folder=str(folder), head="humor")
        marks.add(fingerprint_of(make_reward(settings, tmp_path)))

    mark(copied(tmp_path / "same"))
    mark(copied(tmp_path / "as it is"))
    assert len(marks) == 1
    for name in ("adapter_model.safetensors", "heads.safetensors", "adapter_config.json"):
        path = copied(tmp_path / name) / name
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        path.write_bytes(content)
        mark(path.parent)
    for i, (key, value) in enumerate({"most_tokens": 99, "base": "another"}.items()):
        path = copied(tmp_path / f"s{i}") / "card.json"
        card = json.loads(path.read_text())
        card["settings"][key] = value
        path.write_text(json.dumps(card))
        mark(path.parent)
    assert len(marks) == 6


@pytest.mark.parametrize("content", ["[" * 100_000, "{", "[]", '{"settings": 3}', None])
def test_a_folder_without_a_reward_models_card_is_refused(
    tmp_path: Path, content: str | None
) -> None:
    folder = copied(tmp_path / "judge")
    (folder / "card.json").unlink()
    if content is not None:
        (folder / "card.json").write_text(content)
    settings = spec(kind="reward_model", folder=str(folder), head="humor")
    with pytest.raises(ModelSourceError, match="palm rewards train"):
        make_reward(settings, tmp_path)


def test_a_probes_fingerprint_follows_its_coefficients(tmp_path: Path) -> None:
    content = {"features": ["answer"], "coefficients": [0.1] * 384, "intercept": 0, "card": {}}
    marks = set()
    for i, first in enumerate((0.1, 0.1, 0.2)):
        content["coefficients"] = [first] + [0.1] * 383
        (tmp_path / f"{i}.json").write_text(json.dumps(content))
        marks.add(fingerprint_of(make_reward(spec(kind="probe", weights=f"{i}.json"), tmp_path)))
    assert len(marks) == 2


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([0.5, 1.2], "row 1: score 1.2 .*'second'"),
        ([-0.1, 0.5], "row 0"),
        ([0.5, float("nan")], "row 1: score nan"),
        ([0.5], "gives shape"),
        (0.5, "gives shape"),
        (ZeroDivisionError("oops"), "fails: ZeroDivisionError: oops"),
        (["a", "b"], "fails"),
    ],
)
def test_what_is_no_score_is_refused_with_reward_and_row(found: object, why: str) -> None:
    with pytest.raises(InvalidInputError, match=f"'fixed'.*{why}"):
        scores_of(Fixed(found), ["p", "q"], ["first", "second"], [1, 1])


def test_a_gate_multiplies_and_changes_the_fingerprint() -> None:
    register_reward("test.gate", lambda: Fixed(np.array([1.0, 0.5, 0.0]), "gate"))
    gated = make_reward(spec(kind="length", gate="test.gate"))
    plain = make_reward(spec(kind="length"))
    given = (["p"] * 3, ["x"] * 3, [8, 8, 8])
    assert gated.score(*given) == pytest.approx(plain.score(*given) * [1.0, 0.5, 0.0])
    assert fingerprint_of(gated) != fingerprint_of(plain)
    assert title_of(spec(kind="length", gate="test.gate")) == "length x test.gate"
    assert title_of(spec(kind="length")) == "length", "the registered one scores alike"
    assert title_of(spec(kind="length", scale="linear")) == "length linear"
    assert title_of(spec(kind="length", most=50)) == "length up to 50"
    nested: RewardSpec = spec(kind="length", gate={"kind": "length", "scale": "linear"})
    assert title_of(nested) == "length x length linear"


MODULE = """
def long_words(prompts, answers):
    return [min(1.0, max(map(len, a.split()), default=0) / 10) for a in answers]


def with_tokens(prompts, answers, tokens):
    return [1 / (1 + t) for t in tokens]


number = 3
"""


def test_a_function_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rewards.py").write_text(MODULE)
    words = make_reward(spec(kind="function", entry="mine.rewards:long_words"), tmp_path)
    assert words.score(["p"] * 2, ["a abcde", ""], [2, 0]).tolist() == [0.5, 0.0]
    tokens = make_reward(spec(kind="function", entry="mine.rewards:with_tokens"), tmp_path)
    assert tokens.score(["p"], ["x"], [3]).tolist() == [0.25]
    before = fingerprint_of(words)
    # What it imports from the project counts as well, and what that imports.
    uses = tmp_path / "uses"
    (uses / "deep").mkdir(parents=True)
    (uses / "own.py").write_text("def f(prompts, answers):\n    from deep import g\n    return g\n")
    (uses / "deep" / "__init__.py").write_text("from deep.far import g\n")
    (uses / "deep" / "far.py").write_text("g = 1\n")
    again = tmp_path / "again"
    shutil.copytree(uses, again)
    entry = spec(kind="function", entry="own:f")
    assert fingerprint_of(make_reward(entry, uses)) == fingerprint_of(make_reward(entry, again))
    deeper = Path(shutil.copytree(uses, tmp_path / "deeper"))
    (deeper / "deep" / "far.py").write_text("g = 2\n")
    assert fingerprint_of(make_reward(entry, deeper)) != fingerprint_of(make_reward(entry, uses))
    other = tmp_path / "other" / "mine"
    other.mkdir(parents=True)
    (other / "rewards.py").write_text(MODULE + "\nchanged = True\n")
    changed = make_reward(
        spec(kind="function", entry="mine.rewards:long_words"), tmp_path / "other"
    )
    assert fingerprint_of(changed) != before


F = "def f(prompts, answers):\n"
OWN = {
    "plain": f"import helpers\n\n{F}    return [helpers.g()] * len(answers)\n",
    "late": f"{F}    from helpers import g\n    return [g()] * len(answers)\n",
    "relative": f"from .near import g\n\n{F}    return [g()] * len(answers)\n",
}


def project(folder: Path, kind: str, value: float) -> Path:
    """A project whose reward calls a helper that gives a value."""
    helper = f"def g():\n    return {value}\n"
    place = folder / "kit" if kind == "relative" else folder
    place.mkdir(parents=True)
    (place / "own.py").write_text(OWN[kind])
    (place / ("near.py" if kind == "relative" else "helpers.py")).write_text(helper)
    return folder


@pytest.mark.parametrize("kind", sorted(OWN))
def test_a_function_calls_what_its_project_holds(tmp_path: Path, kind: str) -> None:
    entry = spec(kind="function", entry="kit.own:f" if kind == "relative" else "own:f")
    made = {
        value: make_reward(entry, project(tmp_path / str(value), kind, value))
        for value in (0.25, 0.75)
    }
    # Each project's own helper, though both are called alike; asked again in any order.
    for value in (0.25, 0.75, 0.25):
        assert made[value].score(["p"], ["a"], [1]).tolist() == [value]
    marks = {fingerprint_of(reward) for reward in made.values()}
    assert len(marks) == 2, "what the helper gives is part of the reward"
    assert not {"own", "helpers", "kit"} & set(sys.modules)
    assert not any(str(tmp_path) in entry for entry in sys.path)


def test_an_installed_functions_package_is_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = []
    for value in (0.5, 0.9):
        site = tmp_path / f"site-{value}"
        (site / "acme_rewards").mkdir(parents=True)
        (site / "acme_rewards" / "__init__.py").write_text("")
        (site / "acme_rewards" / "own.py").write_text(
            "from acme_rewards.helpers import g\n\ndef f(prompts, answers):\n    return [g()]\n"
        )
        (site / "acme_rewards" / "helpers.py").write_text(f"def g():\n    return {value}\n")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(site))
            for name in [n for n in sys.modules if n.startswith("acme_rewards")]:
                patch.delitem(sys.modules, name)
            entry = spec(kind="function", entry="acme_rewards.own:f")
            made = make_reward(entry, tmp_path / f"project-{value}")
            assert made.score(["p"], ["a"], [1]).tolist() == [value]
            marks.append(fingerprint_of(made))
    assert marks[0] != marks[1]


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("nowhere_at_all:f", "nowhere_at_all.*can't be imported"),
        ("broken:f", "broken.*SyntaxError"),
        ("fine:missing", "no function missing"),
        ("fine:number", "no function number"),
    ],
)
def test_functions_that_cannot_be_had_are_named(tmp_path: Path, entry: str, why: str) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "fine.py").write_text(MODULE)
    with pytest.raises(ConfigError, match=why):
        make_reward(spec(kind="function", entry=entry), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"features": ["answer"], "coefficients": [1], "intercept": 0}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_probe_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(ConfigError, match=r"p\.json"):
        make_reward(spec(kind="probe", weights="p.json"), tmp_path)


def test_every_kind_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def f(prompts, answers):\n    return [1.0] * len(answers)\n")
    function = spec(kind="function", entry="own:f")
    length = spec(kind="length")
    found = {
        "length": make_reward(length, most_tokens=99),
        "function": make_reward(function, tmp_path),
        "gated": make_reward(spec(kind="length", gate=function), tmp_path),
        "name": get_reward("length"),
        "answer": get_reward("fit"),
    }
    pytest.importorskip("openai")
    found["judge"] = make_reward(
        spec(kind="judge", url="http://localhost:1/v1", model="m", rubric="How kind is it?")
    )
    pytest.importorskip("transformers")
    folder = tiny_classifier(tmp_path / "c", labels=["good"])
    found["classifier"] = make_reward(spec(kind="classifier", model=str(folder), device="cpu"))
    for kind, reward in found.items():
        assert isinstance(reward, Described), kind
        trait = {"name": "t", "reward": reward.name, "normalisation": "n", "card": reward.card}
        assert TraitInfo.model_validate(trait).card == reward.card
        assert reward.card
    cards = {kind: reward.card for kind, reward in found.items() if isinstance(reward, Described)}
    assert cards["length"]["tokens that score 0"] == 99
    assert cards["function"]["function"] == "own:f"
    assert cards["gated"]["gate: function"] == "own:f"
    assert cards["gated"]["reward: scale"] == "log"
    assert cards["judge"]["rubric"] == "How kind is it?"
    assert cards["classifier"]["activation"] == "sigmoid"


def test_what_a_registered_reward_was_made_with_is_part_of_its_fingerprint() -> None:
    class Limit:
        name, normalisation = "limit", "none"

        def __init__(self, most: int) -> None:
            self.most = most
            self.asked = 0

        def score(
            self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
        ) -> np.ndarray:
            self.asked += 1
            return np.array([min(len(a) / self.most, 1.0) for a in answers])

    one, same, other = Limit(5), Limit(5), Limit(99)
    mark = fingerprint_of(one)
    assert fingerprint_of(same) == mark
    assert fingerprint_of(other) != mark
    scores_of(one, ["p"], ["a"], [1])
    assert fingerprint_of(one) == mark, "what it counts changes no score"
