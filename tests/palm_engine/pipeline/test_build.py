"""Whole builds on a tiny model: every method of training, rounds, soups, own policies (slow)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from palm_engine.analysis.account import account
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import Member
from palm_engine.errors import ConfigError, GenerationError, InvalidInputError, ModelSourceError
from palm_engine.pipeline.config import BuildConfig, load_config
from palm_engine.serving.export_vllm import export_vllm
from tests.bad_input.adapters import BASES
from tests.support.builds import REWARDS, Recorder, edited, write_project
from tests.support.fakes import fake_server

pytest.importorskip("peft")
pytestmark = pytest.mark.slow
UNTRAINED = ('base = "', 'train = false\nbase = "')


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # No encoder: how different members' answers are is another test's.
    monkeypatch.setattr("palm_engine.pipeline.certify._diversity", lambda *_: ())
    write_project(tmp_path)
    return tmp_path


def configured(project: Path, method: str, rounds: int = 1) -> BuildConfig:
    warm = str(rounds > 1).lower()
    changes = [
        ('"rwr"', f'"{method}"'),
        ("count = 1\n", f"count = {rounds}\nwarm_start = {warm}\n"),
    ]
    return load_config(edited(project / "tiny.toml", *changes))


@pytest.mark.parametrize(("method", "rounds"), [("rwr", 2), ("dpo", 1), ("grpo", 1)])
def test_every_method_builds_a_bundle_and_resumes(
    project: Path, method: str, rounds: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from palm_engine.pipeline.build import build

    if method != "rwr":
        pytest.importorskip("trl")
    config = configured(project, method, rounds)
    first = Recorder()
    bundle = build(config, project, project / "out", first)
    kinds = {c.policy: c.kind for c in bundle.manifest.candidates}
    assert kinds["mine"] == "adapter"
    assert list(kinds.values()).count("soup") == 2
    assert bundle.label("mine") == "My own"
    assert bundle.label("lora-100-00") == "Low"
    soup = next(c for c in bundle.manifest.candidates if c.kind == "soup")
    assert soup.soup is not None
    assert set(soup.soup) == {"lora-100-00", "lora-00-100"}
    assert sum(soup.soup.values()) == pytest.approx(1, abs=1e-3)
    assert 1 <= len(bundle.members) <= 2
    assert first.stages.count("Train adapters") == rounds
    sources = set(bundle._table("pool.parquet", ["source"])["source"])
    own = {s for s in sources if ".round-1" in s}
    assert bool(own) == (rounds == 2), "the policies' own answers joined the pool"
    trained = [n for n in first.notes if n.startswith("lora-100-00:")]
    assert len(trained) == rounds
    assert ("value" if method == "grpo" else "loss") in trained[0]
    if method == "rwr":
        # What early stopping went by is said.
        assert re.search(
            r"on held-out prompts \d+\.\d\d to \d+\.\d\d \(epoch 1 of 1 kept\)", trained[0]
        )
    training = bundle.candidate("lora-100-00").training
    assert training is not None
    assert (training.value is not None) == (method == "grpo")
    if method == "rwr":
        assert len(training.held_out) == 2
        assert f"{training.held_out[0]:.2f}" in trained[-1]
        assert "(held out)" in account(bundle)
    again = Recorder()
    same = build(config, project, project / "out", again)
    assert again.stages == ["Select and certify"]
    assert same.manifest.candidates == bundle.manifest.candidates
    if method == "grpo":
        # Another place of base, rewards and work changes nothing that was learnt.
        moved = tmp_path_factory.mktemp("moved") / "project"
        shutil.copytree(project, moved)
        text = (project / "tiny.toml").read_text().replace(str(project / "base"), "base")
        (moved / "tiny.toml").write_text(text)
        elsewhere = Recorder()
        build(load_config(moved / "tiny.toml"), moved, moved / "out", elsewhere)
        assert elsewhere.stages == ["Select and certify"]


def test_without_training_what_is_given_is_evaluated(project: Path) -> None:
    from palm_engine.pipeline.build import build

    without = edited(project / "tiny.toml", UNTRAINED, ("count = 2", "count = 0"))
    bundle = build(load_config(without), project, project / "out", Recorder())
    assert bundle.policies == ["base", "loud", "mine"]
    assert bundle.manifest.certificate is not None
    assert bundle.pool_rewards is None


COMBINED = """
[[policies]]
name = "half"
display_name = "Half and half"
soup = {mine = 0.5, lora-100-00 = 0.5}

[[policies]]
name = "both"
system = "CALM"
mixture = {mine = 0.75, lora-00-100 = 0.25}

[[traits]]"""


def test_soups_and_mixtures_of_ones_own_are_candidates(project: Path) -> None:
    from palm_engine.lm.adapters.files import read_adapter
    from palm_engine.pipeline.build import build

    edited(project / "tiny.toml", ("[[traits]]", COMBINED), ("count = 2", "count = 0"))
    config = load_config(project / "tiny.toml")
    bundle = build(config, project, project / "out", Recorder())
    half, both = bundle.candidate("half"), bundle.candidate("both")
    assert (half.kind, half.soup) == ("soup", {"mine": 0.5, "lora-100-00": 0.5})
    assert bundle.label("half") == "Half and half"
    assert (both.kind, both.mixture) == ("mixture", {"mine": 0.75, "lora-00-100": 0.25})
    assert (both.system, both.passes) == ("CALM", 2)
    for split in ("choose", "certify"):
        ids = bundle.prompts.loc[bundle.prompts["split"] == split, "prompt_id"]
        rows = bundle.samples[bundle.samples["prompt_id"].isin(ids)]
        assert set(bundle.policies) <= set(rows["policy"])
    # The soup's own adapter is the sum of its parts'.
    kept = project / ".tiny.build" / "soups" / "half"
    parts = [bundle.adapter_folder("mine"), bundle.adapter_folder("lora-100-00")]
    layer = next(iter(read_adapter(kept).layers))
    whole, *own = (
        (b @ a) * s for a, b, s in (read_adapter(f).layers[layer] for f in (kept, *parts))
    )
    assert (whole - 0.5 * own[0] - 0.5 * own[1]).abs().max() < 1e-5
    again = Recorder()
    build(config, project, project / "out", again)
    assert again.stages == ["Select and certify"]


def test_one_who_cheats_is_marked_and_a_template_goes_from_the_build_to_the_export(
    project: Path,
) -> None:
    from palm_engine.lm.base_model.load import load_tokenizer
    from palm_engine.lm.generation.conversation import conversation_text
    from palm_engine.pipeline.build import build

    text = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}{{ mood }}>"
    template = f"[template]\ntext = \"{text}\"\noptions = {{mood = 'calm'}}\n\n[sampling]"
    config = edited(
        project / "tiny.toml", UNTRAINED, ("count = 2", "count = 0"), ("[sampling]", template)
    )
    with fake_server(["same"], reply=lambda body: "AAAA") as (url, _):
        served = f'[[policies]]\nname = "same"\nurl = "{url}"\nmodel = "same"\n\n[[traits]]'
        edited(config, ("[[traits]]", served), ("k = 2", "k = 1"))
        bundle = build(load_config(config), project, project / "out", Recorder())
    assert bundle.candidate("same").warning == "gives the same answer to every prompt"
    assert bundle.candidate("same").label == "same ⚠"
    assert bundle.candidate("base").warning == ""
    # Answers follow the template: the same build without it gives others.
    plain = edited(config, (template, "[sampling]"), (served, "[[traits]]"))
    other = build(load_config(plain), project, project / "plain", Recorder())
    texts = [b.samples.set_index(["policy", "prompt_id"])["text"] for b in (bundle, other)]
    assert not texts[0].loc["base"].equals(texts[1].loc["base"])
    # It is kept in the bundle, and a server is started with it.
    assert bundle.manifest.template is not None
    tokenizer = load_tokenizer(project / "base", bundle.manifest.template)
    assert conversation_text(tokenizer, None, "Hi?") == "[][Hi?]calm>"
    mine = bundle.manifest.model_copy(
        update={
            "members": (Member(policy="mine", weights={"low": 1.0, "vowels": 0.0}),),
            "certificate": None,
        }
    )
    done = export_vllm(Bundle(bundle.folder, mine), project / "served")
    assert done.command[-2:] == ("--chat-template", "chat_template.jinja")
    exported = (project / "served" / "chat_template.jinja").read_text()
    assert exported == tokenizer.chat_template


def test_soups_need_training(project: Path) -> None:
    edited(project / "tiny.toml", UNTRAINED)
    with pytest.raises(ConfigError, match="soups and rounds"):
        load_config(project / "tiny.toml")


def test_a_server_that_is_not_there_is_said_before_anything_is_drawn(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from palm_engine.pipeline.build import build

    served = '[[policies]]\nname = "far"\nurl = "URL"\nmodel = "far"\n'
    served += 'key_variable = "THEIR_KEY"\n\n[[traits]]'
    monkeypatch.setenv("THEIR_KEY", "theirs")
    config = project / "tiny.toml"
    edited(config, ("[[traits]]", served), UNTRAINED, ("count = 2", "count = 0"))
    gone = edited(config, ("URL", "http://127.0.0.1:9/v1"))
    progress = Recorder()
    with pytest.raises(ConfigError, match=r"policies: far: .*is it running"):
        build(load_config(gone), project, project / "out", progress, project / "kept")
    with fake_server(["near"]) as (url, _):
        edited(config, ("http://127.0.0.1:9/v1", url))
        with pytest.raises(ConfigError, match="serves no 'far'; it serves near"):
            build(load_config(config), project, project / "out", progress, project / "kept")
    assert progress.stages == []
    with fake_server(["far"], reply=lambda body: "aeio BCD") as (url, asked):
        text = config.read_text()
        config.write_text(re.sub(r'url = "[^"]*"', f'url = "{url}"', text))
        build(load_config(config), project, project / "out", progress, project / "kept")
    assert {body["key"] for body in asked} == {"theirs"}
    # Its answers are kept: it needn't be there any more, wherever its key is kept now.
    edited(config, ("THEIR_KEY", "ANOTHER_KEY"))
    again = Recorder()
    build(load_config(config), project, project / "again", again, project / "kept")
    assert again.stages == ["Select and certify"]


BROKEN = [
    (name, edit, message)
    for name, edit, message in BASES
    if name.startswith(
        ("no tokenizer", "a template that", "weights", "no config", "no end", "another")
    )
]


@pytest.mark.parametrize(
    ("edit", "message"), [(e, m) for _, e, m in BROKEN], ids=[n for n, _, _ in BROKEN]
)
def test_a_broken_base_is_said_before_anything_is_drawn(
    project: Path, edit: Callable[[Path], object], message: str
) -> None:
    from palm_engine.pipeline.build import build

    edit(project)
    with fake_server(["base"]) as (url, _):
        served = f'max_new_tokens = 6\nengine = "openai"\nurls = ["{url}"]'
        config = edited(project / "tiny.toml", ("max_new_tokens = 6", served))
        for text in (config.read_text(), config.read_text().replace(served, "max_new_tokens = 6")):
            config.write_text(text)
            progress = Recorder()
            with pytest.raises(ModelSourceError, match=message):
                build(load_config(config), project, project / "out", progress)
            assert progress.stages == []


def test_a_reward_that_cannot_score_is_said_before_anything_is_drawn(project: Path) -> None:
    from palm_engine.pipeline.build import build

    judge = (
        '{kind = "judge", url = "http://127.0.0.1:9/v1", model = "m", retries = 0, timeout = 2,'
        ' rubric = "How low is it?"}'
    )
    config = edited(
        project / "tiny.toml",
        ('{kind = "function", entry = "own:low"}', judge),
        UNTRAINED,
        ("count = 2", "count = 0"),
    )
    progress = Recorder()
    with pytest.raises(GenerationError, match="judge m"):
        build(load_config(config), project, project / "out", progress)
    (project / "own.py").write_text(REWARDS.replace("a in answers]", "a in answers][:0]"))
    with pytest.raises(InvalidInputError, match=r"shape \(0,\) for 1 answers"):
        build(
            load_config(edited(config, (judge, '{kind = "function", entry = "own:low"}'))),
            project,
            project / "out",
            progress,
        )
    assert progress.stages == []


def test_a_base_in_the_project_is_found_from_everywhere(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from palm_engine.lm.base_model.source import resolve_base
    from palm_engine.pipeline.build import build

    config = edited(
        project / "tiny.toml",
        (str(project / "base"), "base"),
        UNTRAINED,
        ("count = 2", "count = 0"),
    )
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    made = build(load_config(config), project, project / "out", Recorder(), project / "kept")
    assert made.manifest.base is not None
    assert resolve_base(made.manifest.base.source) == project / "base"


def test_a_work_folder_in_the_bundle_is_refused(project: Path) -> None:
    from palm_engine.pipeline.build import build

    config = load_config(project / "tiny.toml")
    for work in (project / "out", project / "out" / "work"):
        with pytest.raises(ConfigError, match=r"--work .* lies in --out"):
            build(config, project, project / "out", Recorder(), work)
