"""Adapters on disk: what is refused, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import tiny_bundle, tiny_llama, tiny_local, write_adapter

torch = pytest.importorskip("torch")
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import (
    BundleError,
    ModelSourceError,
)
from palm_engine.lm.adapters.files import adapter_parameters, read_adapter
from palm_engine.lm.adapters.stack import AdapterStack
from palm_engine.serving.backends.interface import live_settings


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("portfolios") / "tiny")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"bias": "all"}, "bias"),
        ({"alpha_pattern": {"(a+)+$": 3}}, "plain name"),
        ({"lora_alpha": None}, "lora_alpha"),
    ],
)
def test_adapters_that_are_more_than_lora_are_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = write_adapter(tmp_path / "x", 0)
    config = folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(ModelSourceError, match=message):
        read_adapter(folder)


def test_a_pickle_or_a_link_is_no_adapter(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "x", 0)
    (folder / "adapter_model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    (folder / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(ModelSourceError, match="safetensors"):
        read_adapter(folder)
    (folder / "adapter_model.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(ModelSourceError, match="safetensors"):
        read_adapter(folder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"alora_invocation_tokens": [5, 6]}, "alora_invocation_tokens"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa.*path_initial_model"),
        ({"init_lora_weights": "olora"}, "olora"),
        ({"init_lora_weights": "corda"}, "corda"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias all"),
    ],
)
def test_what_is_more_than_plain_lora_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    folder = write_adapter(tmp_path / "x", 1)
    read_adapter(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelSourceError, match=why):
        read_adapter(folder)


def test_a_changed_adapter_and_one_outside_the_bundle_are_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "tiny")
    backend = tiny_local(bundle)
    write_adapter(bundle.folder / "adapters" / "a", 99)
    with pytest.raises(ModelSourceError, match="evaluated"):
        backend.stream(["Hello?"], ["a"], live_settings(bundle))
    (bundle.folder / "adapters" / "b").rename(tmp_path / "moved")
    (bundle.folder / "adapters" / "b").symlink_to(tmp_path / "moved")
    with pytest.raises(BundleError, match="inside the bundle"):
        backend.load(["b"])


def test_the_base_path_in_an_adapters_config_is_never_followed(
    bundle: Bundle, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path / "x", 1)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(
        json.dumps(config | {"base_model_name_or_path": "/etc/passwd"})
    )
    stack = AdapterStack(tiny_llama())
    stack.add({"x": read_adapter(folder)})
    assert stack.names == ["x"]


def test_how_many_numbers_a_file_has_is_in_its_header(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", 4)
    assert adapter_parameters(folder) == read_adapter(folder).parameters
    file = folder / "adapter_model.safetensors"
    for content in (b"", b"\x00" * 8, b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]"):
        file.write_bytes(content)
        assert not adapter_parameters(folder)
    file.unlink()
    assert adapter_parameters(folder) is None
