"""Policies, prompts and rewards are added to a bundle; nothing that is there is done again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.bundle.schema import Agreement, Attack, Reading, RewardAudit
from palm_engine.bundle.writing import rewrite_manifest
from palm_engine.cli.main import app
from palm_engine.cli.terminal import certificate_lines
from palm_engine.errors import BundleError
from palm_engine.geometry.gap import worst_gap
from palm_engine.pipeline.further_traits import FurtherTrait, with_traits
from palm_engine.pipeline.rewards import TRIED
from palm_engine.rewards import get_reward
from palm_engine.rewards.interface import fingerprint_of
from palm_engine.serving.export_vllm import export_vllm
from tests.support.fakes import fake_server, write_adapter
from tests.support.letters import Letters, lettered_bundle, register, whole

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytestmark = pytest.mark.slow


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return lettered_bundle(tmp_path)


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--workers", "1"])
    return done.exit_code, done.output + (str(done.exception) if done.exception else "")


def added(bundle: Bundle, name: str, *options: object) -> Bundle:
    Letters.asked.clear()
    code, output = run("add", bundle.folder, "--name", name, *options)
    assert code == 0, output
    return whole(read_bundle(bundle.folder))


def refuses(bundle: Bundle, *options: object, why: str) -> None:
    """Adding with these options is refused for this reason."""
    code, output = run("add", bundle.folder, "--name", "no", *options)
    assert code != 0
    assert why in output.replace("\n", " "), output


def check(before: Bundle, after: Bundle, new: set[str]) -> None:
    """Old answers are as they were, new ones are there, figures follow from answers."""
    assert set(after.policies) - set(before.policies) == new
    old = after.samples[after.samples["policy"].isin(before.policies)]
    pd.testing.assert_frame_equal(
        old.reset_index(drop=True)[before.samples.columns], before.samples, check_dtype=False
    )
    for policy in new:
        own = after.samples[after.samples["policy"] == policy]
        assert len(own) == 2 * 6
        assert set(own["prompt_id"]) == set(before.prompts["prompt_id"])
    certify = after.scores_on("certify")
    assert certify is not None
    assert after.points == pytest.approx(certify.mean(axis=0), abs=1e-6)
    certificate = after.manifest.certificate
    assert certificate is not None
    exact = worst_gap(certify.mean(axis=0)[after.members], certify.mean(axis=0))
    assert certificate.additive.estimate == pytest.approx(exact.additive, abs=1e-9)
    assert [t.reward_sha256 for t in after.manifest.traits] != [None] * 3


def test_an_adapter_answers_what_the_others_answered(bundle: Bundle, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "mine", 7)
    after = added(bundle, "mine", "--adapter", folder, "--display", "My own", "--k", 2)
    check(bundle, after, {"mine"})
    assert after.candidate("mine").weights is None
    assert len(after.members) == 2
    assert after.label("mine") == "My own"
    own = set(after.samples.loc[after.samples["policy"] == "mine", "text"])
    assert set(Letters.asked) == own | {TRIED}, "only the new answers are scored"
    assert (after.folder / "adapters" / "mine" / "adapter_model.safetensors").is_file()
    assert (after.folder / "adapters" / "a" / "adapter_model.safetensors").is_file()
    first = bundle.traits[0]
    corner = added(bundle, "alone", "--adapter", folder, "--weights", f"{first}=2")
    assert corner.candidate("alone").weights == {t: float(t == first) for t in bundle.traits}
    refuses(bundle, "--adapter", folder, "--weights", "nothing=1", why="'nothing' isn't a trait")
    refuses(
        bundle, "--soup", "a=1", "--weights", f"{first}=1", why="what an --adapter was trained for"
    )
    code, output = run("add", bundle.folder, "--name", "mine", "--system", "Be kind.")
    assert code != 0
    assert "'mine' is in the bundle already" in output


def test_a_soup_of_one_answers_like_its_part(bundle: Bundle) -> None:
    alone = added(bundle, "again", "--soup", "a=1")
    check(bundle, alone, {"again"})
    candidate = alone.candidate("again")
    assert (candidate.kind, candidate.soup, candidate.system) == ("soup", {"a": 1.0}, "")
    both = added(alone, "half", "--soup", "a=.5,b=.5", "--keep-members")
    check(alone, both, {"half"})
    assert [m.policy for m in both.manifest.members] == [m.policy for m in alone.manifest.members]
    for soup, why in (
        ("a=.5,c=.5", "different system prompts"),
        ("a=x", "POLICY=NUMBER"),
        ("nobody=1", "no candidate 'nobody'"),
        ("base=1", "has no adapter"),
        ("a=0", "other than 0"),
    ):
        refuses(bundle, "--soup", soup, why=why)


def test_a_mixture_is_a_candidate_that_answers_live(bundle: Bundle, tmp_path: Path) -> None:
    from palm_engine.serving.backends.interface import live_settings
    from palm_engine.serving.host import ModelHost

    after = added(bundle, "mixed", "--mix", "a=.5,b=.5")
    check(bundle, after, {"mixed"})
    candidate = after.candidate("mixed")
    assert (candidate.kind, candidate.mixture) == ("mixture", {"a": 0.5, "b": 0.5})
    assert (candidate.passes, candidate.system, candidate.adapter) == (2, "", None)
    assert candidate.label == "mixed (2 passes)", "its cost stands wherever its value does"
    alone = added(after, "onlyb", "--mix", "a=0,b=1", "--keep-members")
    check(after, alone, {"onlyb"})

    host = ModelHost()
    host.load(alone, ["onlyb", "base"])
    try:
        greedy = live_settings(alone, temperature=0)
        policies = ["mixed", "base", "onlyb", "b"]
        ticket = host.queue.submit("me", host.backend(alone), ["Hm?", "So?"], policies, greedy)
        assert ticket.wait(30)
        assert ticket.state == "done", ticket.error
        texts = {(r.policy, r.prompt): r.text for r in ticket.rows}
        for prompt in ("Hm?", "So?"):
            assert texts["onlyb", prompt] == texts["b", prompt]
        assert len({texts[p, "Hm?"] for p in policies}) > 1
    finally:
        host.unload()
    for mix, why in (
        ("a=.5,c=.5", "different system prompts"),
        ("a=x", "POLICY=NUMBER"),
        ("base=1", "has no adapter"),
        ("a=0", "other than 0"),
    ):
        refuses(bundle, "--mix", mix, why=why)
    members = tuple(m.model_copy(update={"policy": "mixed"}) for m in after.manifest.members[:1])
    only = Bundle(after.folder, after.manifest.model_copy(update={"members": members}))
    with pytest.raises(BundleError, match="which vLLM can't serve"):
        export_vllm(only, tmp_path / "served")


def test_a_model_on_a_server_is_a_candidate(bundle: Bundle) -> None:
    def reply(body: dict[str, Any]) -> str:
        return f"zzz {body['messages'][-1]['content']}"

    with fake_server(["big"], reply=reply) as (url, asked):
        after = added(bundle, "elsewhere", "--url", url, "--model", "big", "--system", "Be brief.")
    check(bundle, after, {"elsewhere"})
    candidate = after.candidate("elsewhere")
    assert (candidate.kind, candidate.served) == ("remote", f"big at {url}")
    assert not candidate.can_run
    assert len(asked) == 12
    assert {b["temperature"] for b in asked} == {0.7}
    assert all(b["messages"][0] == {"role": "system", "content": "Be brief."} for b in asked)
    assert len({b["seed"] for b in asked}) == 2
    own = after.samples[after.samples["policy"] == "elsewhere"]
    assert set(own["text"]) == {
        f"zzz Say {s} {i}?" for s in ("choose", "certify") for i in range(3)
    }
    assert set(own["finish_reason"]) == {"stop"}
    rest = after.samples[after.samples["policy"] != "elsewhere"]
    assert set(rest["finish_reason"]) == {""}
    # What ended an answer stays known when the bundle grows again.
    wider = added(after, "kind", "--system", "Be kind.", "--keep-members")
    assert set(wider.samples.loc[wider.samples["policy"] == "elsewhere", "finish_reason"]) == {
        "stop"
    }
    with fake_server(["other"]) as (url, _):
        code, output = run(
            "add",
            bundle.folder,
            "--name",
            "x",
            "--url",
            url,
            "--model",
            "big",
            "--work",
            bundle.folder.parent / ".w",
        )
    assert code != 0
    assert "no such thing" in output


def test_prompts_are_answered_by_all_and_a_changed_reward_scores_all_anew(
    bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "more.csv").write_text(
        "prompt_id,kind,split,text\nnew-0,any,choose,What?\nnew-1,any,certify,Who?\n"
    )
    Letters.asked.clear()
    out = tmp_path / "portfolios" / "wider"
    code, output = run("evaluate", bundle.folder, "--prompts", tmp_path / "more.csv", "--out", out)
    assert code == 0, output
    wider = read_bundle(out)
    assert len(wider.prompts) == len(bundle.prompts) + 2
    new = wider.samples[wider.samples["prompt_id"].isin(["new-0", "new-1"])]
    assert set(new["policy"]) == set(bundle.policies)
    assert set(Letters.asked) == set(new["text"]) | {TRIED}
    # Nothing is missing, nothing changed: nothing is drawn or scored.
    Letters.asked.clear()
    assert run("evaluate", out)[0] == 0
    assert not Letters.asked
    agreed = Agreement(trait="humor", spearman=0.5, answers=9)
    reading = Reading(
        reader="x", split="certify", prompts=3, policies=(), preferences=(), agreement=(agreed,)
    )
    now = read_bundle(out)
    rewrite_manifest(now, now.manifest.model_copy(update={"reading": reading}))
    register("2")
    assert run("evaluate", out)[0] == 0
    assert set(Letters.asked) == set(wider.samples["text"])
    kept = read_bundle(out).manifest.reading
    assert kept is not None
    assert kept.agreement == (), "it was about the scores of before"


def test_what_a_bundle_says_of_a_reward_changes_with_it(bundle: Bundle) -> None:
    register("2")
    for letters in ("abcdefgh", "ijklmnopq", "rstuvwxyz"):
        get_reward(f"letters {letters}").normalisation = "twice"  # type: ignore[misc]
    assert run("evaluate", bundle.folder, "--keep-members")[0] == 0
    traits = read_bundle(bundle.folder).manifest.traits
    assert {t.normalisation for t in traits} == {"twice"}
    assert {t.reward_sha256.split()[-1] for t in traits if t.reward_sha256} == {"2"}


def test_added_prompts_with_clusters_join_those_without_and_stay_on_one_side(
    bundle: Bundle, tmp_path: Path
) -> None:
    more = tmp_path / "more.csv"
    rows = ["prompt_id,kind,split,text,cluster"]
    more.write_text(
        "\n".join(
            [
                *rows,
                "n-0,any,choose,What?,one",
                "n-1,any,choose,Who?,one",
                "n-2,any,certify,Why?,two",
            ]
        )
    )
    code, output = run("evaluate", bundle.folder, "--prompts", more, "--k", 2)
    assert code == 0, output
    wider = read_bundle(bundle.folder)
    cluster = wider.prompts.set_index("prompt_id")["cluster"]
    assert cluster["n-1"] == "one"
    assert all(cluster[p] == p for p in bundle.prompts["prompt_id"])
    plain = tmp_path / "plain.csv"
    plain.write_text("prompt_id,kind,split,text\nm-0,any,certify,When?\n")
    code, output = run("evaluate", bundle.folder, "--prompts", plain, "--k", 2)
    assert code == 0, output
    assert read_bundle(bundle.folder).prompts.set_index("prompt_id")["cluster"]["m-0"] == "m-0"
    Letters.asked.clear()
    for rows_of, why in (
        ("x-0,any,certify,Whom?,one", "'one' has prompts in choose and in certify"),
        ("x-0,any,certify,Whom?,", "row 2: cluster is empty"),
    ):
        more.write_text("\n".join([*rows, rows_of]))
        code, output = run("evaluate", bundle.folder, "--prompts", more)
        assert code != 0
        assert why in output.replace("\n", " "), output
    assert not Letters.asked


def test_a_table_from_elsewhere_takes_a_further_trait_as_long_as_nothing_is_answered(
    tmp_path: Path,
) -> None:
    rows = ["model,prompt,answer,helpful,kind"]
    rows += [
        f"m{i},q{j},{'word ' * (1 + i + j % 3)},{(i * 7 + j) % 10 / 10},{(i + j) % 4 / 4}"
        for i in range(3)
        for j in range(24)
    ]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    out = tmp_path / "p" / "table"
    arguments = ["import", str(tmp_path / "t.csv"), "--out", str(out)]
    arguments += ["--trait", "helpful", "--trait", "kind"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    before = read_bundle(out)
    longer = tmp_path / "p" / "longer"
    code, output = run("evaluate", out, "--trait", "short=length", "--out", longer)
    assert code == 0, output
    after = read_bundle(longer)
    assert after.traits == ["helpful", "kind", "short"]
    assert after.manifest.traits[:2] == before.manifest.traits
    assert after.samples["helpful"].tolist() == before.samples["helpful"].tolist()
    assert after.samples.groupby("policy")["short"].mean().is_monotonic_decreasing
    assert after.manifest.certificate is not None
    # The further one changed since: scored anew, and nothing else.
    path = longer / "portfolio.json"
    said = json.loads(path.read_text())
    said["traits"][2]["reward_sha256"] = "0" * 64
    path.write_text(json.dumps(said))
    code, output = run("evaluate", longer)
    assert code == 0, output
    assert read_bundle(longer).manifest.traits == after.manifest.traits
    code, output = run("evaluate", out, "--rescore")
    assert code != 0
    assert "reward 'helpful' is not known here" in output.replace("\n", " ")


def test_an_evaluation_that_was_stopped_goes_on(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["prompt_id,kind,split,text"]
    rows += [f"more-{s},any,{s},More {s}?" for s in ("choose", "certify")]
    (tmp_path / "more.csv").write_text("\n".join(rows))
    more = ("evaluate", bundle.folder, "--prompts", tmp_path / "more.csv", "--k", 2)
    before = (bundle.folder / "portfolio.json").read_bytes()
    asked = 0

    def stop(self: Letters, *_: object) -> object:
        nonlocal asked
        asked += 1
        if asked == 5:  # each is tried on one answer first
            raise KeyboardInterrupt
        return score(self, *_)  # type: ignore[arg-type]

    score = Letters.score
    monkeypatch.setattr(Letters, "score", stop)
    code, output = run(*more)
    assert code != 0
    assert "Draw answers" in output
    assert (bundle.folder / "portfolio.json").read_bytes() == before
    # What was drawn, and what the first reward gave, is there.
    Letters.asked.clear()
    monkeypatch.setattr(Letters, "score", score)
    code, output = run(*more)
    assert code == 0, output
    assert "Draw answers" not in output
    after = read_bundle(bundle.folder)
    new = after.samples[after.samples["prompt_id"].str.startswith("more-")]
    assert len(new) == 2 * 2 * len(after.policies)
    assert len(Letters.asked) == 2 * new["text"].nunique(), "two of three rewards were left to ask"


def test_a_trait_that_is_added_scores_what_is_there(bundle: Bundle, tmp_path: Path) -> None:
    pool = bundle.samples.rename(columns={"policy": "source"})
    pool.to_parquet(bundle.folder / "pool.parquet", index=False)
    out = tmp_path / "portfolios" / "longer"
    Letters.asked.clear()
    code, output = run("evaluate", bundle.folder, "--trait", "short=length", "--out", out)
    assert code == 0, output
    assert not Letters.asked, "the traits that were there aren't scored again"
    longer = read_bundle(out)
    assert longer.traits == [*bundle.traits, "short"]
    old = longer.samples[bundle.samples.columns]
    pd.testing.assert_frame_equal(old, bundle.samples, check_dtype=False)
    length = get_reward("length", bundle.most_tokens)
    assert longer.pool_rewards is not None
    for table in (longer.samples, pd.read_parquet(out / "pool.parquet")):
        expected = length.score([], list(table["text"]), list(table["tokens"]))
        assert table["short"].to_numpy() == pytest.approx(expected)
    certify = longer.scores_on("certify")
    assert certify is not None
    assert longer.points == pytest.approx(certify.mean(axis=0), abs=1e-6)
    info = longer.manifest.traits[-1]
    assert (info.reward, info.reward_sha256) == ("length", fingerprint_of(length))
    weights = dict.fromkeys(bundle.traits, 1 / 3)
    trained = bundle.candidate("c").model_copy(update={"weights": weights})
    further = with_traits(
        bundle.manifest.model_copy(update={"candidates": (trained,)}),
        [FurtherTrait("short", "length")],
        bundle.most_tokens,
    )
    assert further.candidates[0].weights == weights | {"short": 0.0}, "it was trained without"
    # Once more, and it costs nothing.
    assert run("evaluate", out)[0] == 0
    assert not Letters.asked


def test_a_judge_on_a_server_scores_a_further_trait_once_and_its_cost_is_said(
    bundle: Bundle, tmp_path: Path
) -> None:
    pytest.importorskip("openai")

    def grade(body: dict[str, Any]) -> str:
        return str(1 + len(body["messages"][-1]["content"]) % 10)

    out = tmp_path / "portfolios" / "judged"
    with fake_server(["grader"], reply=grade) as (url, asked):
        (tmp_path / "judged.toml").write_text(
            f"""
name = "judged"
title = "judged"
base = "{tmp_path / "base"}"
data = {{prompts = "none.csv"}}
train = false

[[traits]]
name = "help"
[traits.reward]
kind = "judge"
url = "{url}"
model = "grader"
rubric = "How helpful is it?"
price_in = 10

[[traits]]
name = "short"
reward = "length"
"""
        )
        judged = ("--rewards", tmp_path / "judged.toml", "--trait", "help")
        code, output = run("evaluate", bundle.folder, *judged, "--out", out)
        assert code == 0, output
        texts = {(r.prompt_id, r.text) for r in bundle.samples.itertuples()}
        assert len(asked) == len(texts)
        assert f"{100 * len(texts):,} tokens read" in " ".join(output.split())
        assert "at its price" in " ".join(output.split())
        # Scored once; what is there costs nothing more.
        code, output = run("evaluate", out, "--rewards", tmp_path / "judged.toml")
        assert code == 0, output
        assert len(asked) == len(texts)
    # The server is gone: said before anything is drawn.
    late = ("--name", "late", "--system", "Be kind.", "--work", tmp_path / "late")
    code, output = run("add", out, *late, "--rewards", tmp_path / "judged.toml")
    assert code != 0
    assert "grader" in output
    assert [p for p in (tmp_path / "late").rglob("*.parquet") if p.parent.name != "scores"] == []
    made = read_bundle(out)
    assert made.traits == [*bundle.traits, "help"]
    assert made.manifest.traits[-1].card is not None
    assert made.samples["help"].between(0, 1).all()


def test_what_cannot_be_added_as_a_trait_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "new"
    first = bundle.traits[0]
    for options, why in (
        (["--trait", "short=length"], "--out DIR"),
        (["--trait", "short", "--out", out], "write NAME=REWARD"),
        (["--trait", "short=nothing", "--out", out], "reward 'nothing' is not known"),
        (["--trait", f"{first}=length", "--out", out], f"{first!r} is listed twice"),
        (["--trait", "tokens=length", "--out", out], "a column of a bundle's tables"),
        (["--trait", "a b=length", "--out", out], "--trait 'a b'"),
        ([*(o for i in range(6) for o in ("--trait", f"t{i}=length")), "--out", out], "at most 8"),
    ):
        code, output = run("evaluate", bundle.folder, *options)
        assert code != 0
        assert why in output.replace("\n", " "), output
        assert not out.exists()


def test_what_cannot_be_completed_is_said_before_anything_is_drawn(
    bundle: Bundle, tmp_path: Path
) -> None:
    dora = write_adapter(tmp_path / "dora", 4, use_dora=True)
    for options, why in (
        (["--adapter", dora], "use_dora"),
        ([], "say what to add"),
        (["--url", "http://localhost:1/v1"], "both --url and --model"),
        (["--adapter", dora, "--soup", "a=1"], "say what to add"),
    ):
        code, output = run("add", bundle.folder, "--name", "x", *options)
        assert code != 0
        assert why in output.replace("\n", " "), output
    code, output = run("add", bundle.folder, "--name", "a b", "--system", "Be kind.")
    assert code != 0
    assert "--name 'a b'" in output
    (tmp_path / "train.csv").write_text("prompt_id,kind,split,text\nnew,any,train,What?\n")
    code, output = run("evaluate", bundle.folder, "--prompts", tmp_path / "train.csv")
    assert code != 0
    assert "choose or certify" in output
    assert read_bundle(bundle.folder).policies == bundle.policies


def test_a_soup_never_takes_the_place_of_a_trained_adapter(bundle: Bundle, tmp_path: Path) -> None:
    before = (bundle.adapter_folder("a") / "adapter_model.safetensors").read_bytes()
    for name, why in (("a", "is in the bundle already"), ("half", "is a bundle; name another")):
        code, output = run(
            "add", bundle.folder, "--name", name, "--soup", "b=1", "--work", bundle.folder
        )
        assert code != 0
        assert why in output.replace("\n", " "), output
        assert (bundle.adapter_folder("a") / "adapter_model.safetensors").read_bytes() == before
    assert sorted(p.name for p in (bundle.folder / "adapters").iterdir()) == ["a", "b", "c"]


def _alpha(folder: Path) -> None:
    config = folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"lora_alpha": 99}))


def _numbers(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "adapter_model.safetensors")
    first = next(iter(weights))
    weights[first] = torch.full_like(weights[first], float("nan"))
    save_file(weights, folder / "adapter_model.safetensors")


def _elsewhere(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "adapter_model.safetensors")
    moved = {k.replace("layers.0", "layers.7"): v for k, v in weights.items()}
    save_file(moved, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("change", "recorded", "why"),
    [
        (_alpha, True, "is not the one that was evaluated"),
        (_numbers, True, "is not the one that was evaluated"),
        (_numbers, False, "not all are finite numbers"),
        (_elsewhere, False, "layers.7"),
    ],
)
def test_an_adapter_that_was_changed_since_answers_nothing(
    bundle: Bundle, tmp_path: Path, change: Any, recorded: bool, why: str
) -> None:
    change(bundle.adapter_folder("a"))
    if not recorded:
        bundle = rewrite_manifest(
            bundle,
            bundle.manifest.model_copy(
                update={
                    "candidates": tuple(
                        c.model_copy(
                            update={"adapter_sha256": None, "adapter_weights_sha256": None}
                        )
                        for c in bundle.manifest.candidates
                    )
                }
            ),
        )
    more = tmp_path / "more.csv"
    more.write_text("prompt_id,kind,split,text\nnew1,plain,certify,One more question?\n")
    work = tmp_path / "work"
    code, output = run(
        "evaluate", bundle.folder, "--prompts", more, "--out", tmp_path / "x", "--work", work
    )
    assert code != 0
    assert why in output.replace("\n", " "), output
    assert not (tmp_path / "x").exists()
    assert not list(work.glob("draws/*")), "nothing was drawn"


def test_a_bundle_that_holds_more_is_replaced_only_where_that_is_said(
    bundle: Bundle, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(bundle.folder, tmp_path / "other"))
    (other / "notes.txt").write_text("mine")
    add = ["add", bundle.folder, "--soup", "a=.5,b=.5", "--name", "half", "--out", other]
    work = ["--work", tmp_path / "work", "--keep-members"]
    code, output = run(*add, *work)
    assert code != 0
    assert "which would be deleted" in output.replace("\n", " ")
    assert "half" not in read_bundle(other).policies
    code, output = run(*add, *work, "--replace")
    assert code == 0, output
    assert "half" in read_bundle(other).policies
    kept = tmp_path / "other.previous"
    assert read_bundle(kept).policies == bundle.policies
    assert (kept / "notes.txt").read_text() == "mine"


def test_servers_are_asked_once_everything_else_can_answer(bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    with fake_server(["m"], reply=lambda body: "An answer of a server.") as (url, asked):
        code, output = run(
            "add", bundle.folder, "--url", url, "--model", "m", "--name", "far", "--out",
            tmp_path / "more", "--work", tmp_path / "first",
        )  # fmt: skip
        assert code == 0, output
        asked.clear()
        # The served policy comes first; an adapter after it is damaged.
        more = read_bundle(tmp_path / "more")
        ordered = sorted(more.manifest.candidates, key=lambda c: c.policy != "far")
        made = rewrite_manifest(
            more, more.manifest.model_copy(update={"candidates": tuple(ordered)})
        )
        (made.adapter_folder("a") / "adapter_model.safetensors").write_bytes(b"noise")
        prompts = tmp_path / "more.csv"
        prompts.write_text("prompt_id,kind,split,text\nnew1,plain,certify,One more question?\n")
        code, output = run(
            "evaluate", made.folder, "--prompts", prompts, "--server", url, "--out",
            tmp_path / "x", "--work", tmp_path / "work",
        )  # fmt: skip
    assert code != 0
    assert not asked, "nobody was paid"


def test_a_soup_without_its_adapter_is_made_again_to_answer_and_where_it_is_a_member(
    bundle: Bundle, tmp_path: Path
) -> None:
    made = added(bundle, "half", "--soup", "a=.5,b=.5", "--keep-members")
    before = (made.adapter_folder("half") / "adapter_model.safetensors").read_bytes()
    # As builds leave it: the adapters of soups that are no members aren't kept.
    raw = json.loads((made.folder / "portfolio.json").read_text())
    for candidate in raw["candidates"]:
        if candidate["policy"] == "half":
            del candidate["adapter"], candidate["adapter_sha256"]
    raw["members"] = [{"policy": "half", "weights": {t: 1 / len(made.traits) for t in made.traits}}]
    raw.pop("certificate")
    (made.folder / "portfolio.json").write_text(json.dumps(raw))
    shutil.rmtree(made.folder / "adapters" / "half")
    rows = ["prompt_id,kind,split,text"]
    rows += [f"more-{s},any,{s},More {s}?" for s in ("choose", "certify")]
    (tmp_path / "more.csv").write_text("\n".join(rows))
    code, output = run(
        "evaluate", made.folder, "--prompts", tmp_path / "more.csv", "--keep-members"
    )
    assert code == 0, output
    after = whole(read_bundle(made.folder))
    answered = after.samples[after.samples["policy"] == "half"]
    assert {"more-choose", "more-certify"} <= set(answered["prompt_id"])
    # It is a member, so it can answer live.
    assert (after.adapter_folder("half") / "adapter_model.safetensors").read_bytes() == before


def test_a_server_is_asked_again_as_it_was_asked_before(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["prompt_id,kind,split,text"]
    rows += [f"more-{s},any,{s},More {s}?" for s in ("choose", "certify")]
    (tmp_path / "more.csv").write_text("\n".join(rows))
    monkeypatch.setenv("MY_KEY", "secret")

    def refuse(body: dict[str, Any]) -> str | None:
        return "unknown field top_k" if "top_k" in body else None

    with fake_server(["big"], reply=lambda body: "zzz", refuse=refuse) as (url, asked):
        code, output = run("add", bundle.folder, "--name", "far", "--url", url, "--model", "big")
        assert code != 0
        assert "--no-extras" in output
        options = ("--no-extras", "--key-variable", "MY_KEY", "--keep-members")
        made = added(bundle, "far", "--url", url, "--model", "big", *options)
        assert made.candidate("far").served_plainly
        before = len(asked)
        more = ("evaluate", made.folder, "--prompts", tmp_path / "more.csv", "--keep-members")
        code, output = run(*more, "--server", f"{url}#MY_KEY")
        assert code == 0, output
    assert len(asked) > before
    assert {body["key"] for body in asked[before:]} == {"secret"}
    assert not any("top_k" in body for body in asked[before:])


def test_rewards_that_can_be_fooled_stay_so_when_the_members_change(bundle: Bundle) -> None:
    attack = Attack(
        kind="constant",
        tried=9,
        lead=0.4,
        at_weights=dict(zip(bundle.traits, (1.0, 0.0, 0.0), strict=True)),
        share=0.5,
        example="Yes.",
    )
    audit = RewardAudit(split="certify", prompts=3, seed=0, attacks=(attack,), shuffled_share=None)
    fooled = bundle.manifest.model_copy(update={"reward_audit": audit})
    rewrite_manifest(bundle, fooled)
    code, output = run("add", bundle.folder, "--name", "mine", "--system", "Hm.", "--k", 1)
    assert code == 0, output
    after = read_bundle(bundle.folder)
    assert len(after.members) == 1
    kept = after.manifest.reward_audit
    assert kept is not None
    assert kept.against == ("a", "b", "c")
    assert "run palm rewards audit again" in " ".join(output.split())
    assert certificate_lines(after)[0].startswith("These rewards can be fooled")
    assert "ahead of every member of before by 0.400" in certificate_lines(after)[0]
    # At weights of these traits: of others it tells nothing.
    out = bundle.folder.parent / "longer"
    code, output = run("evaluate", bundle.folder, "--trait", "short=length", "--out", out)
    assert code == 0, output
    assert "Not in a bundle with another trait: the reward audit" in " ".join(output.split())
    assert read_bundle(out).manifest.reward_audit is None
    # One that passed tells nothing of other members.
    passed = audit.model_copy(update={"attacks": (attack.model_copy(update={"lead": 0.0}),)})
    rewrite_manifest(after, after.manifest.model_copy(update={"reward_audit": passed}))
    assert run("add", bundle.folder, "--name", "two", "--system", "Oh.", "--k", 2)[0] == 0
    assert read_bundle(bundle.folder).manifest.reward_audit is None


def test_a_policy_on_a_server_is_asked_again_only_where_that_is_allowed(
    bundle: Bundle, tmp_path: Path
) -> None:
    rows = ["prompt_id,kind,split,text"]
    rows += [f"more-{s},any,{s},More {s}?" for s in ("choose", "certify")]
    (tmp_path / "more.csv").write_text("\n".join(rows))
    with fake_server(["big"], reply=lambda body: "zzz") as (url, asked):
        made = added(bundle, "elsewhere", "--url", url, "--model", "big", "--keep-members")
        # It says the same to everything, and so it is marked wherever it is a candidate.
        assert made.candidate("elsewhere").warning == "gives the same answer to every prompt"
        before = len(asked)
        more = ("evaluate", made.folder, "--prompts", tmp_path / "more.csv", "--keep-members")
        code, output = run(*more)
        assert code != 0
        assert f"allow it (--server {url})" in output.replace("\n", " ").replace("  ", " ")
        assert len(asked) == before
        code, output = run(*more, "--server", url)
        assert code == 0, output
        assert len(asked) > before
    after = whole(read_bundle(made.folder))
    answered = after.samples[after.samples["policy"] == "elsewhere"]
    assert {"more-choose", "more-certify"} <= set(answered["prompt_id"])
