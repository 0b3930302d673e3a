"""A portfolio exported for vLLM: whole, or not at all."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from palm_engine.bundle.folder import Bundle
from palm_engine.errors import BundleError, ModelSourceError
from palm_engine.serving.router import Router
from tests.support.fakes import tiny_base, tiny_bundle, tiny_model


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    pytest.importorskip("torch")
    from palm_engine.lm.base_model.places import fingerprint

    made = tiny_bundle(tmp_path / "tiny")
    folder = tiny_base(tmp_path / "the base")
    for name in ("evil.py", "weights.bin", "LICENSE"):
        (folder / name).write_text("{}")
    manifest = made.manifest.model_copy(
        update={
            "base": made.manifest.base.model_copy(  # type: ignore[union-attr]
                update={"source": str(folder), "fingerprint": fingerprint(folder)}
            )
        }
    )
    return Bundle(made.folder, manifest)


def test_an_export_is_whole_and_its_command_names_every_adapter(
    bundle: Bundle, tmp_path: Path
) -> None:
    from palm_engine.serving.export_vllm import export_vllm

    done = export_vllm(bundle, tmp_path / "out dir")
    copied = {p.name for p in (tmp_path / "out dir" / "base").iterdir()}
    assert {"LICENSE", "config.json", "model.safetensors", "tokenizer.json"} <= copied
    assert not copied & {"evil.py", "weights.bin", "fingerprint.json"}
    assert {p.name for p in (tmp_path / "out dir" / "licences").iterdir()} == {
        "LICENSE",
        "NOTICE",
        "BASE.txt",
    }
    words = list(done.command)
    assert words[words.index("--max-lora-rank") + 1] == "8"
    assert words[words.index("--max-loras") + 1] == "3"
    assert words[words.index("--lora-modules") + 1 :] == [
        "a=adapters/a",
        "b=adapters/b",
        "c=adapters/c",
    ]
    start = tmp_path / "out dir" / "start.sh"
    assert start.stat().st_mode & stat.S_IXUSR
    assert shlex.join(done.command) in start.read_text()
    for name in "abc":
        assert (tmp_path / "out dir" / "adapters" / name / "adapter_model.safetensors").is_file()
    routing = json.loads((tmp_path / "out dir" / "routing.json").read_text())
    assert bundle.manifest.sampling is not None
    assert routing["sampling"] == bundle.manifest.sampling.model_dump()
    router = Router.from_file(tmp_path / "out dir" / "routing.json")
    assert router.pick({"humor": 1}).model == "b"
    with pytest.raises(BundleError, match="already"):
        export_vllm(bundle, tmp_path / "out dir")


def test_the_start_script_runs_its_command_from_any_folder(bundle: Bundle, tmp_path: Path) -> None:
    from palm_engine.serving.export_vllm import export_vllm

    export_vllm(bundle, tmp_path / "out $(touch owned)")
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "python").write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n')
    (fake / "python").chmod(0o755)
    done = subprocess.run(
        [str(tmp_path / "out $(touch owned)" / "start.sh"), "--port", "9"],
        env={"PATH": f"{fake}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    lines = done.stdout.splitlines()
    assert lines[0] == str(tmp_path / "out $(touch owned)")
    assert lines[-2:] == ["--port", "9"]
    assert not list(tmp_path.rglob("owned"))


def test_another_base_than_the_one_evaluated_is_not_exported(
    bundle: Bundle, tmp_path: Path
) -> None:
    from palm_engine.serving.export_vllm import export_vllm

    (tmp_path / "the base" / "model.safetensors").write_text("another")
    with pytest.raises(ModelSourceError, match="trained on"):
        export_vllm(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failed_export_leaves_nothing(bundle: Bundle, tmp_path: Path) -> None:
    from palm_engine.serving.export_vllm import export_vllm

    (bundle.folder / "adapters" / "c" / "adapter_model.safetensors").write_bytes(b"changed")
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(ModelSourceError, match="evaluated"):
        export_vllm(bundle, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_what_vllm_cannot_serve_is_refused_by_name(bundle: Bundle, tmp_path: Path) -> None:
    from palm_engine.serving.export_vllm import _command, export_vllm

    with pytest.raises(ModelSourceError, match="rank 513 is too large for vLLM"):
        _command("base", ["a"], 513, 9)
    candidates = list(bundle.manifest.candidates)
    at = bundle.members[0]
    candidates[at] = candidates[at].model_copy(
        update={"kind": "remote", "adapter": None, "served": "org/big at http://localhost:1/v1"}
    )
    manifest = bundle.manifest.model_copy(update={"candidates": tuple(candidates)})
    with pytest.raises(BundleError, match="answers elsewhere"):
        export_vllm(Bundle(bundle.folder, manifest), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_rank_that_vllm_sets_aside_is_the_configurations(
    bundle: Bundle, tmp_path: Path
) -> None:
    from palm_engine.lm.adapters.files import configured_rank
    from palm_engine.serving.export_vllm import export_vllm

    path = bundle.adapter_folder("a") / "adapter_config.json"
    layers = json.loads(path.read_text())["target_modules"]
    told = json.loads(path.read_text())
    # Every layer has a smaller rank by its pattern: vLLM looks at r all the same.
    told |= {"r": 32, "rank_pattern": dict.fromkeys(layers, told["r"])}
    told["alpha_pattern"] = dict.fromkeys(layers, told["lora_alpha"])
    path.write_text(json.dumps(told))
    assert configured_rank(path.parent) == 32
    candidates = tuple(
        c.model_copy(update={"adapter_sha256": None, "adapter_weights_sha256": None})
        for c in bundle.manifest.candidates
    )
    changed = bundle.manifest.model_copy(update={"candidates": candidates})
    words = list(export_vllm(Bundle(bundle.folder, changed), tmp_path / "out").command)
    assert words[words.index("--max-lora-rank") + 1] == "32"


def test_a_base_that_vllm_runs_no_adapters_on_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    from palm_engine.lm.base_model.places import fingerprint
    from palm_engine.serving.export_vllm import export_vllm

    folder = tiny_base(tmp_path / "gpt2")
    tiny_model("GPT2").save_pretrained(folder)
    assert bundle.manifest.base is not None
    base = {"source": str(folder), "fingerprint": fingerprint(folder)}
    manifest = bundle.manifest.model_copy(
        update={"base": bundle.manifest.base.model_copy(update=base)}
    )
    with pytest.raises(BundleError, match="no adapters on a base of the kind 'gpt2'"):
        export_vllm(Bundle(bundle.folder, manifest), tmp_path / "out")
    assert not (tmp_path / "out").exists()
