"""The reward audit: rewards that look at the prompt pass, rewards that words can fool don't."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from palm_engine.analysis.guarantee import as_json, statements
from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.bundle.manifest import Manifest
from palm_engine.bundle.writing import rewrite_manifest, write_bundle
from palm_engine.cli.main import app
from palm_engine.cli.terminal import audit_lines
from palm_engine.errors import InvalidInputError
from palm_engine.pipeline.audit import CONSTANTS, audit_rewards
from palm_engine.pipeline.sharing import model_card
from palm_engine.rewards import register_reward
from tests.support.fakes import tiny_base

PROMPTS = 12
WORDS = {"care": "gently", "fun": "haha"}


class WordReward:
    """Pays an answer for a word; if it listens, only beside the prompt's own key, briefly."""

    normalisation = "0 or 1"

    def __init__(self, name: str, word: str, listens: bool) -> None:
        self.name, self.word, self.listens = name, word, listens

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> np.ndarray:
        """1 where the answer deserves it."""
        return np.array([self._one(p, a) for p, a in zip(prompts, answers, strict=True)])

    def _one(self, prompt: str, answer: str) -> float:
        said = answer.split()
        if self.listens and (prompt.split()[-1] not in said or len(said) > 2):
            return 0.0
        return float(self.word in said)


def count_words(texts: Sequence[str]) -> list[int]:
    """Words for tokens."""
    return [len(t.split()) for t in texts]


@pytest.fixture
def audited(tmp_path: Path) -> Callable[[bool], Bundle]:
    """A bundle of two members that answer every second prompt well, scored by either reward."""

    def make(listens: bool) -> Bundle:
        made = {}
        for trait, word in WORDS.items():
            name = f"{trait}.{'listening' if listens else 'gullible'}"
            made[trait] = WordReward(name, word, listens)
            register_reward(name, partial(WordReward, name, word, listens))
        ids = [f"p{i:02d}" for i in range(PROMPTS)]
        texts = [f"A question about key{i}" for i in range(PROMPTS)]
        rows = []
        for policy, word in (("base", ""), ("careful", "gently"), ("joker", "haha")):
            for i in range(PROMPTS):
                text = f"key{i} {word if i % 2 == 0 else ''}".strip()
                scores = [float(r.score([texts[i]], [text], [1])[0]) for r in made.values()]
                rows.append((policy, ids[i], 0, text, 2, *scores))
        columns = ["policy", "prompt_id", "sample_id", "text", "tokens", *WORDS]
        samples = pd.DataFrame(rows, columns=columns)
        means = samples.groupby("policy")[list(WORDS)].mean()
        candidates = [
            {
                "policy": p,
                "kind": "base" if p == "base" else "adapter",
                "role": "base" if p == "base" else "plan",
                "rewards": dict(means.loc[p]),
            }
            for p in ("base", "careful", "joker")
        ]
        manifest = Manifest.model_validate(
            {
                "name": "audited",
                "base": {"source": "nowhere"},
                "traits": [
                    {"name": t, "reward": r.name, "normalisation": r.normalisation}
                    for t, r in made.items()
                ],
                "candidates": candidates,
                "members": [
                    {"policy": "careful", "weights": {"care": 1, "fun": 0}},
                    {"policy": "joker", "weights": {"care": 0, "fun": 1}},
                ],
            }
        )
        prompts = pd.DataFrame({"prompt_id": ids, "split": "certify", "text": texts})
        return write_bundle(
            tmp_path / "audited", manifest, {"prompts": prompts, "samples": samples}
        )

    return make


def test_rewards_that_look_at_the_prompt_pass(audited: Callable[[bool], Bundle]) -> None:
    done: list[float] = []
    found = audit_rewards(audited(True), count_words, progress=lambda share, _: done.append(share))
    assert found.passes
    assert found.shuffled_share == pytest.approx(0)
    # A constant holds one prompt's key: right for one prompt, where a member is for half of them.
    leads = {a.kind: a.lead for a in found.attacks}
    assert leads["constant"] == pytest.approx(0.5 * (1 / PROMPTS - 1 / 2))
    assert leads["empty"] == pytest.approx(-0.25)
    assert all(a.share == 0 for a in found.attacks)
    assert done[-1] == pytest.approx(1)
    assert done == sorted(done)


def test_rewards_that_a_word_fools_fail(audited: Callable[[bool], Bundle]) -> None:
    found = audit_rewards(audited(False), count_words)
    assert not found.passes
    assert found.shuffled_share == pytest.approx(1)
    constant = found.attacks[0]
    # (1, 0) against members at (.5, 0) and (0, .5): .5 ahead in its corner.
    assert constant.lead == pytest.approx(0.5)
    assert max(constant.at_weights.values()) == pytest.approx(1)
    assert constant.share == pytest.approx(1)
    assert constant.example.split()[-1] in WORDS.values()
    assert constant.lead_over_candidates == pytest.approx(0.5), "nobody else has more in a corner"
    assert {a.kind for a in found.ahead} >= {"constant", "parrot"}


def test_a_reward_that_changed_is_not_compared_with_scores_of_before(
    audited: Callable[[bool], Bundle],
) -> None:
    bundle = audited(True)
    traits = tuple(
        t.model_copy(update={"reward_sha256": "of before"}) for t in bundle.manifest.traits
    )
    older = rewrite_manifest(bundle, bundle.manifest.model_copy(update={"traits": traits}))
    with pytest.raises(InvalidInputError, match="a reward changed since its answers were scored"):
        audit_rewards(older, count_words)


def test_the_lead_is_the_largest_over_a_grid(audited: Callable[[bool], Bundle]) -> None:
    bundle = audited(False)
    found = audit_rewards(bundle, count_words, prompts=7, seed=3)
    texts = sorted({t for t in bundle.samples["text"] if t.strip()})
    paid = np.array([[word in t.split() for word in WORDS.values()] for t in texts], dtype=float)
    drawn = np.random.default_rng(3).choice([f"p{i:02d}" for i in range(PROMPTS)], 7, False)
    rows = bundle.samples[bundle.samples["prompt_id"].isin(drawn)]
    members = rows[rows["policy"] != "base"].groupby("policy")[list(WORDS)].mean().to_numpy()
    w = np.stack([np.linspace(0, 1, 1001), np.linspace(1, 0, 1001)], axis=1)
    slow = ((w @ paid.T).max(axis=1) - (w @ members.T).max(axis=1)).max()
    assert found.attacks[0].lead == pytest.approx(slow, abs=1e-9)


def test_a_failed_audit_is_the_first_line_of_the_guarantee(
    audited: Callable[[bool], Bundle],
) -> None:
    bundle = audited(False)
    rows = tuple(bundle.members)
    assert not any(s.warns for s in statements(bundle, rows, None))
    assert "not audited" in statements(bundle, rows, None)[-1].text
    for listens in (False, True):
        bundle = audited(listens)
        found = audit_rewards(bundle, count_words)
        said = Bundle(bundle.folder, bundle.manifest.model_copy(update={"reward_audit": found}))
        first = statements(said, rows, None)[0]
        assert first.warns == (not listens)
        assert ("can be fooled" in first.text) == (not listens)
        card = model_card(said, "me/mine")
        fooled = card.find("can be fooled")
        assert (fooled < 0) == listens
        assert listens or fooled < card.index("**Promise.**")
        assert as_json(said, rows, None)["reward_audit"]["prompts"] == PROMPTS


def test_what_cannot_be_audited_says_why(audited: Callable[[bool], Bundle], tmp_path: Path) -> None:
    bundle = audited(True)
    unknown = [t.model_copy(update={"reward": "elsewhere"}) for t in bundle.manifest.traits]
    other = Bundle(bundle.folder, bundle.manifest.model_copy(update={"traits": tuple(unknown)}))
    with pytest.raises(InvalidInputError, match="trait 'care': reward 'elsewhere' is not known"):
        audit_rewards(other, count_words)
    bare = write_bundle(tmp_path / "bare", bundle.manifest, {})
    with pytest.raises(InvalidInputError, match="no recorded answers"):
        audit_rewards(bare, count_words)
    with pytest.raises(InvalidInputError, match="at least 1 try and 2 prompts"):
        audit_rewards(bundle, count_words, prompts=1)


def test_the_command_records_shows_and_fails(
    audited: Callable[[bool], Bundle], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    # First: a module that takes the name while it is patched would keep the patch.
    import_module("palm_engine.lm.base_model.load")
    monkeypatch.setattr("palm_engine.lm.base_model.source.resolve_base", lambda *_: tmp_path)
    monkeypatch.setattr("palm_engine.lm.base_model.load.token_counter", lambda _: count_words)
    bundle = audited(False)
    path = bundle.folder / "portfolio.json"
    before = path.read_bytes()
    run = partial(CliRunner().invoke, app)
    dry = run(["rewards", "audit", str(bundle.folder), "--dry-run", "--json"])
    assert dry.exit_code == 1
    assert not json.loads(dry.stdout)["attacks"][0]["lead"] < 0.4
    assert path.read_bytes() == before
    done = run(["rewards", "audit", str(bundle.folder)])
    assert done.exit_code == 1, done.output
    assert "can be fooled" in done.stdout
    assert "Recorded in" in done.stdout
    recorded = read_bundle(bundle.folder).manifest.reward_audit
    assert recorded is not None
    assert not recorded.passes
    assert audited(True).manifest.reward_audit is None
    good = run(["rewards", "audit", str(bundle.folder)])
    assert good.exit_code == 0, good.output
    # Repeated, it asks no reward again: a judge would be paid twice.
    monkeypatch.setattr(WordReward, "score", None)
    assert run(["rewards", "audit", str(bundle.folder)]).exit_code == 0


AUDITED = """
name = "mine"
title = "mine"
base = "{base}"
data = {{prompts = "prompts.csv", demonstrations = "written.csv"}}

[[traits]]
name = "care"
reward = {{kind = "function", entry = "paid:{kind}_care"}}

[[traits]]
name = "fun"
reward = {{kind = "function", entry = "paid:{kind}_fun"}}
"""
PAID = """
def _score(prompts, answers, word, listens):
    return [
        word in a.split() and (not listens or p.split()[-1] in a.split() and len(a.split()) <= 2)
        for p, a in zip(prompts, answers)
    ]

def gullible_care(prompts, answers): return _score(prompts, answers, "gently", False)
def gullible_fun(prompts, answers): return _score(prompts, answers, "haha", False)
def listening_care(prompts, answers): return _score(prompts, answers, "gently", True)
def listening_fun(prompts, answers): return _score(prompts, answers, "haha", True)
"""


@pytest.mark.parametrize("kind", ["gullible", "listening"])
def test_a_configuration_is_audited_by_its_demonstrations(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("transformers")
    base = tiny_base(tmp_path / "base")
    (tmp_path / "mine.toml").write_text(AUDITED.format(base=base, kind=kind))
    (tmp_path / "paid.py").write_text(PAID)
    ids = range(PROMPTS)
    prompts = [f"p{i},any,train,A question about key{i}" for i in ids]
    (tmp_path / "prompts.csv").write_text("\n".join(["prompt_id,kind,split,text", *prompts]))
    words = {"safe": "gently", "funny": "haha"}
    written = [f"p{i},{style},key{i} {word}" for i in ids for style, word in words.items()]
    (tmp_path / "written.csv").write_text("\n".join(["prompt_id,style,text", *written]))
    arguments = ["rewards", "audit", str(tmp_path / "mine.toml"), "--project", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--tries", "20", "--json"])
    assert done.exit_code == (1 if kind == "gullible" else 0), done.output
    found = json.loads(done.stdout)
    assert found["prompts"] == PROMPTS
    assert found["shuffled_share"] == pytest.approx(1 if kind == "gullible" else 0)
    leads = {a["kind"]: a["lead"] for a in found["attacks"]}
    assert leads["constant"] == pytest.approx(0 if kind == "gullible" else (1 / PROMPTS - 1) / 2)


@pytest.mark.parametrize("listens", [True, False])
def test_what_a_reward_pays_each_kind_of_answer_is_said(
    audited: Callable[[bool], Bundle], listens: bool
) -> None:
    bundle = audited(listens)
    found = audit_rewards(bundle, count_words, tries=6)
    most = {a.kind: a.most for a in found.attacks}
    assert most["empty"] == dict.fromkeys(WORDS, 0.0)
    paid = most["constant"]
    assert paid is not None
    if listens:  # one answer can hold one prompt's key
        assert all(x <= 1 / found.prompts for x in paid.values())
    else:  # one word is enough, whatever was asked
        assert paid == dict.fromkeys(WORDS, 1.0)
    assert found.members is not None
    assert found.members == {
        t: pytest.approx(max(c.rewards[t] for c in bundle.manifest.candidates)) for t in WORDS
    }
    assert found.shuffled == (dict.fromkeys(WORDS, 0.0) if listens else found.members)
    lines = "\n".join(audit_lines(found))
    assert "Most that empty gets: care 0.000, fun 0.000" in lines
    assert "Most that the members' own get: care" in lines
    assert "Most that answers to other prompts get: care" in lines


def test_without_demonstrations_what_is_paid_is_said_and_nothing_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.builds import edited, write_project

    config = edited(write_project(tmp_path), ('demonstrations = "written.csv"', ""))
    monkeypatch.setattr("palm_engine.lm.base_model.load.token_counter", lambda _: count_words)
    arguments = ["rewards", "audit", str(config), "--project", str(tmp_path), "--json"]
    done = CliRunner().invoke(app, [*arguments, "--work", str(tmp_path / "work")])
    assert done.exit_code == 0, done.output
    most = json.loads(done.stdout.splitlines()[-1])["most"]
    assert set(most) == {"constant", "parrot", "random words", "empty"}
    assert most["empty"] == {"low": 0.0, "vowels": 0.0}
    # By hand: the share of vowels of each text, whatever was asked.
    assert most["constant"]["vowels"] == pytest.approx(
        max(sum(c in "aeiou" for c in text.lower()) / len(text) for text in CONSTANTS), abs=1e-5
    )
    told = CliRunner().invoke(app, [*arguments[:-1], "--work", str(tmp_path / "work")])
    assert "this is no verdict" in told.output.replace("\n", " ")
