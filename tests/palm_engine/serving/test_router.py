"""Routing and the export for a server.

The same pick as the dashboard's, numpy only, and a folder that is whole.
"""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.errors import BundleError, InvalidInputError, ModelSourceError
from palm_engine.geometry.pick import pick_info
from palm_engine.serving.router import Router, parse_weights
from tests.support.fakes import tiny_bundle

ROOT = Path(__file__).resolve().parents[3]
DEMO = read_bundle(ROOT / "portfolios" / "demo")


@given(st.lists(st.floats(0, 100), min_size=3, max_size=3).filter(lambda w: sum(w) > 1e-6))
def test_the_router_picks_what_the_dashboard_picks(raw: list[float]) -> None:
    route = Router.of(DEMO).pick(raw)
    shown = pick_info(DEMO.points, DEMO.members, np.array(raw) / sum(raw))
    assert route.policy == DEMO.policies[shown.member]
    assert route.value == pytest.approx(shown.member_value, abs=1e-9)


def test_a_routing_file_gives_the_same_router(tmp_path: Path) -> None:
    router = Router.of(DEMO)
    (tmp_path / "routing.json").write_text(json.dumps(router.as_json()))
    again = Router.from_file(tmp_path / "routing.json")
    assert again.as_json() == router.as_json()
    assert again.pick({"humor": 1}).messages("Hi")[0] == {"role": "system", "content": ""}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format_version": 2}',
        '{"format_version": 1, "traits": ["a", "b"], "members": []}',
        (
            '{"format_version": 1, "traits": ["a", "b"], "members": [{"policy": "x", "model": "x",'
            ' "system": ""}]}'
        ),
        (
            '{"format_version": 1, "traits": ["a"], "members": [{"policy": "x", "model": "x",'
            ' "system": "", "point": {"a": "?"}}]}'
        ),
    ],
)
def test_a_broken_routing_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "routing.json").write_text(text)
    with pytest.raises(InvalidInputError, match=r"routing\.json"):
        Router.from_file(tmp_path / "routing.json")


@pytest.mark.parametrize(
    "weights", [{"charm": 1.0}, [1, 2], {"safety": -1}, {"safety": 0}, [float("nan"), 1, 1]]
)
def test_weights_that_make_no_sense_are_refused(weights: object) -> None:
    with pytest.raises(InvalidInputError):
        Router.of(DEMO).pick(weights)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="TRAIT=NUMBER"):
        parse_weights("safety:1")


def test_the_router_needs_numpy_only() -> None:
    code = (
        "import sys\nclass Blocked:\n    def find_spec(self, name, path=None, target=None):\n      "
        "  if name.split('.')[0] in {'torch', 'pandas', 'scipy', 'pydantic', 'streamlit',"
        " 'transformers'}:\n            raise ImportError(name)\nsys.meta_path.insert(0,"
        " Blocked())\nfrom palm_engine.serving.router import Router\nprint(Router(('a', 'b'), ('x',"
        " 'y'), ('x', 'y'), ('', ''), __import__('numpy').eye(2)).pick({'b': 1}).policy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout.strip() == "y", done.stderr


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    pytest.importorskip("torch")
    from palm_engine.lm.base_model.places import fingerprint

    made = tiny_bundle(tmp_path / "tiny")
    folder = tmp_path / "the base"
    folder.mkdir()
    for name in (
        "model.safetensors",
        "config.json",
        "fingerprint.json",
        "evil.py",
        "weights.bin",
        "LICENSE",
    ):
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
    assert sorted(p.name for p in (tmp_path / "out dir" / "base").iterdir()) == [
        "LICENSE",
        "config.json",
        "model.safetensors",
    ]
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
