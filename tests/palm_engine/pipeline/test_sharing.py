"""Bundles go to a hub of our own on this machine and come back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.bundle.schema import Attack, RewardAudit
from palm_engine.bundle.writing import write_bundle
from palm_engine.cli.main import app
from palm_engine.errors import PalmError
from palm_engine.pipeline.sharing import model_card
from tests.support.fakes import tiny_bundle
from tests.support.hub import WritableHub, serving

pytest.importorskip("huggingface_hub")

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[WritableHub]]:
    handler = type("One", (WritableHub,), {"files": {}, "made": [], "asked": []})
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with serving(handler, tmp_path, monkeypatch):
        yield handler


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    made = tiny_bundle(tmp_path / "portfolios" / "tiny")
    (made.folder / "notes.txt").write_text("mine alone")
    return made


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    return done.exit_code, done.output + (str(done.exception) if done.exception else "")


def test_a_bundle_comes_back_as_it_was(
    hub: type[WritableHub], bundle: Bundle, tmp_path: Path
) -> None:
    code, output = run("push", bundle.folder, "me/mine")
    assert code == 0, output
    assert hub.made[0]["visibility"] == "private", hub.made
    assert "notes.txt" not in hub.files
    assert hub.files["README.md"].decode().startswith("---\nlibrary_name: peft")
    hub.files["run_me.py"] = b"code, never to be fetched"
    out = tmp_path / "again" / "tiny"
    code, output = run("pull", "me/mine", "--out", out)
    assert code == 0, output
    again = read_bundle(out)
    assert again.manifest == bundle.manifest
    assert again.samples.equals(bundle.samples)
    for policy in ("a", "b", "c"):
        inside = f"adapters/{policy}/adapter_model.safetensors"
        assert (out / inside).read_bytes() == (bundle.folder / inside).read_bytes()
    assert not (out / "run_me.py").exists()
    assert not (out / "README.md").exists()
    code, output = run("pull", "me/mine", "--out", out)
    assert code != 0
    assert "would be deleted" in output.replace("\n", " ")


def test_what_is_no_bundle_leaves_nothing(hub: type[WritableHub], tmp_path: Path) -> None:
    for files, why in (
        ({"config.json": b"{}"}, "holds no portfolio.json"),
        ({"portfolio.json": b"{"}, "not valid JSON"),
        ({"portfolio.json": b'{"name": "x"}'}, "traits"),
    ):
        hub.files.clear()
        hub.files.update(files)
        code, output = run("pull", "me/mine", "--out", tmp_path / "x")
        assert code != 0
        assert why in output.replace("\n", " "), output
        assert not (tmp_path / "x").exists()
    code, output = run("pull", "me/other", "--out", tmp_path / "x")
    assert code != 0
    assert "me/other: could not be pulled" in output.replace("\n", " ")
    code, output = run("push", tmp_path, "mine")
    assert code != 0


def test_what_is_pulled_is_looked_at_whole_and_deletes_nothing_else(
    hub: type[WritableHub], bundle: Bundle, tmp_path: Path
) -> None:
    assert run("push", bundle.folder, "me/mine")[0] == 0
    out = tmp_path / "tiny"
    assert run("pull", "me/mine", "--out", out)[0] == 0
    kept = tmp_path / "tiny.previous"
    kept.mkdir()
    (kept / "thesis.txt").write_text("years of work")
    code, output = run("pull", "me/mine", "--out", out, "--replace")
    assert code != 0
    assert "is no bundle, and the one that is replaced is kept there" in output.replace("\n", " ")
    assert (kept / "thesis.txt").read_text() == "years of work"
    whole = dict(hub.files)
    for file in ("samples.parquet", "adapters/a/adapter_model.safetensors"):
        hub.files.update(whole)
        hub.files[file] = b"noise"
        code, output = run("pull", "me/mine", "--out", tmp_path / "y")
        assert code != 0, file
        assert not (tmp_path / "y").exists()


@pytest.mark.parametrize(
    "name", ["pool.parquet", "adapters/a/adapter_model.safetensors", "adapters/a"]
)
def test_what_a_link_leads_to_is_neither_pushed_nor_copied(
    hub: type[WritableHub], bundle: Bundle, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    path = bundle.folder / name
    if path.exists():
        path.rename(elsewhere)
    else:
        elsewhere.write_bytes(b"a secret of somebody's")
    path.symlink_to(elsewhere)
    code, output = run("push", bundle.folder, "me/mine")
    assert code != 0
    assert "is a link" in output
    assert not hub.files
    adapters = {p: bundle.folder / "adapters" / p for p in "abc"}
    if name != "pool.parquet":
        with pytest.raises(PalmError, match="is a link"):
            write_bundle(tmp_path / "copy", bundle.manifest, {}, adapters)
        assert not (tmp_path / "copy").exists()


def test_a_damaged_bundle_is_not_pushed(hub: type[WritableHub], bundle: Bundle) -> None:
    (bundle.folder / "samples.parquet").write_bytes(b"noise")
    code, output = run("push", bundle.folder, "me/mine")
    assert code != 0
    assert "samples.parquet" in output
    assert not hub.files


@pytest.mark.parametrize("repo", ["a--b/c", "a..b/c", "-a/b", "a/b.git"])
def test_a_name_that_no_hub_takes_is_one_sentence(
    hub: type[WritableHub], bundle: Bundle, tmp_path: Path, repo: str
) -> None:
    for arguments in (("push", bundle.folder, repo), ("pull", repo, "--out", tmp_path / "x")):
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        assert isinstance(done.exception, PalmError | SystemExit), done.exception
        assert not (tmp_path / "x").exists()


def test_the_card_says_what_the_certificate_says_and_texts_stay_texts(bundle: Bundle) -> None:
    odd = bundle.manifest.model_copy(update={"title": "<b>![x](http://evil)</b> | #1"})
    card = model_card(Bundle(bundle.folder, odd), "me/mine")
    assert "![x](" not in card
    assert "<b>" not in card
    assert "palm pull me/mine" in card
    assert "| a | adapter | safety 1.00" in card
    assert "**Promise.**" in card
    code, output = run("push", bundle.folder, "me/mine", "--card")
    assert code == 0
    assert "library_name: peft" in output
    tables = tuple(c.model_copy(update={"adapter": None}) for c in bundle.manifest.candidates)
    bare = bundle.manifest.model_copy(update={"candidates": tables})
    assert "peft" not in model_card(Bundle(bundle.folder, bare))
    assert "lora" not in model_card(Bundle(bundle.folder, bare)).partition("\n\n")[0]
    # A certified bundle promises its bound; rewards that can be fooled come before that.
    demo = read_bundle(ROOT / "portfolios" / "demo")
    certificate = demo.manifest.certificate
    assert certificate is not None
    card = model_card(demo, "me/demo")
    bound = f"{certificate.additive.upper:.4f}"
    assert bound in card[card.index("**Promise.**") :]
    fooled = RewardAudit(
        split="certify",
        prompts=9,
        seed=0,
        attacks=(
            Attack(
                kind="constant",
                tried=1,
                lead=0.4,
                at_weights={"safety": 0.0, "humor": 1.0, "brevity": 0.0},
                share=0.3,
                example="Yes.",
            ),
        ),
    )
    manifest = demo.manifest.model_copy(update={"reward_audit": fooled})
    card = model_card(Bundle(demo.folder, manifest), "me/demo")
    assert card.index("can be fooled") < card.index("**Promise.**")
