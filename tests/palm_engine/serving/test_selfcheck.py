"""What is checked on loading: the base, and that policies differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fakes import tiny_bundle, tiny_local

torch = pytest.importorskip("torch")
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import ModelSourceError
from palm_engine.serving.selfcheck import self_check


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "portfolios" / "tiny")


def test_one_adapter_that_cannot_run_does_not_block_the_others(bundle: Bundle) -> None:
    config = bundle.folder / "adapters" / "b" / "adapter_config.json"
    whole = config.read_text()
    config.write_text(json.dumps(json.loads(whole) | {"use_dora": True}))
    backend = tiny_local(bundle)
    check = self_check(backend, ["a", "b", "c"])
    assert [w for w in check.warnings if "b can't answer here" in w and "use_dora" in w]
    assert check.closest == ("a", "c")
    assert "b" not in backend.policies
    assert {"a", "c"} <= set(backend.policies)
    with pytest.raises(ModelSourceError, match="use_dora"):
        self_check(backend, ["b"])


def test_a_wrong_base_is_told_and_equal_members_are_named(bundle: Bundle) -> None:
    backend = tiny_local(bundle)
    assert self_check(backend, ["a", "b", "c"]).warnings == ()
    object.__setattr__(backend.model.base, "fingerprint", "0" * 64)
    assert "fingerprint" in self_check(backend, ["a"]).warnings[0]
    object.__setattr__(backend.model.base, "fingerprint", "f" * 64)
    with torch.inference_mode():
        for layer in backend.model.stack._layers.values():
            for part in layer.group.parts:
                part.up.zero_()
    assert any("a and b answer alike" in w for w in self_check(backend, ["a", "b"]).warnings)
