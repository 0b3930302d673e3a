"""Models from the Hugging Face hub, against a small hub of our own on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub")

from palm_engine.errors import ModelSourceError
from palm_engine.lm.base_model import hub
from tests.support.hub import FILES, Hub, served

__all__ = ["served"]


@pytest.mark.parametrize(
    ("source", "is_id"),
    [
        ("acme/tiny", True),
        ("acme/tiny-1.5B_x", True),
        ("tiny", False),
        ("../tiny", False),
        ("a/b/c", False),
        ("acme/", False),
        ("/acme/tiny", False),
    ],
)
def test_an_id_is_owner_and_name(source: str, is_id: bool) -> None:
    assert hub.is_hub_id(source) == is_id


def test_only_safetensors_and_texts_are_fetched_and_then_found(
    served: type[Hub], tmp_path: Path
) -> None:
    assert hub.download_bytes("acme/tiny") == sum(
        len(FILES[n]) for n in ("config.json", "model.safetensors")
    )
    assert hub.cached_folder("acme/tiny") is None
    notices: list[str] = []
    folder = hub.resolve("acme/tiny", notices.append)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert not any("pytorch_model.bin" in p or "modeling.py" in p for p in served.asked)
    assert hub.cached_folder("acme/tiny") == folder
    assert "acme/tiny" in notices[0]


def test_a_whole_model_of_the_hub_is_loaded_and_answers_as_its_folder_does(
    served: type[Hub], tmp_path: Path, monkeypatch: Any
) -> None:
    torch = pytest.importorskip("torch")
    from palm_engine.lm.base_model.load import load_base
    from palm_engine.lm.generation.conversation import conversation_ids
    from tests.support.fakes import tiny_base

    folder = tiny_base(tmp_path / "here")
    files = {p.name: p.read_bytes() for p in folder.iterdir()} | {
        "modeling.py": b"raise SystemExit"
    }
    monkeypatch.setattr(served, "files", files)
    with pytest.raises(ModelSourceError, match="only fetched when you say so"):
        load_base("acme/tiny", lambda _: None, "float32", device="cpu", download=False)
    far, near = (
        load_base(source, lambda _: None, "float32", device="cpu", download=True)
        for source in ("acme/tiny", str(folder))
    )
    assert far.fingerprint == near.fingerprint
    ids = conversation_ids(far.tokenizer, None, "Hi?")
    assert ids == conversation_ids(near.tokenizer, None, "Hi?")
    with torch.inference_mode():
        rows = torch.tensor([ids])
        assert torch.equal(far.model(rows).logits, near.model(rows).logits)
    assert not any("modeling.py" in p for p in served.asked if "/resolve/" in p)


def test_half_a_model_in_the_cache_is_not_there(served: type[Hub], monkeypatch: Any) -> None:
    from palm_engine.lm.base_model.source import is_ready

    index = {"weight_map": {"x": "a-1.safetensors", "y": "a-2.safetensors"}}
    whole = {
        "config.json": FILES["config.json"],
        "model.safetensors.index.json": json.dumps(index).encode(),
        "a-1.safetensors": b"one",
        "a-2.safetensors": b"two",
    }
    monkeypatch.setattr(served, "files", {k: v for k, v in whole.items() if "a-2" not in k})
    hub.resolve("acme/tiny", print)
    assert hub.cached_folder("acme/tiny") is None
    assert not is_ready("acme/tiny")
    monkeypatch.setattr(served, "files", whole)
    hub.resolve("acme/tiny", print)
    assert hub.cached_folder("acme/tiny") is not None
    assert is_ready("acme/tiny")


def test_a_model_without_safetensors_is_refused(served: type[Hub]) -> None:
    del served.files["model.safetensors"]
    with pytest.raises(ModelSourceError, match="no safetensors weights"):
        hub.resolve("acme/tiny", lambda _: None)
    assert hub.cached_folder("acme/tiny") is None


def test_what_is_not_there_is_a_sentence(served: type[Hub]) -> None:
    with pytest.raises(ModelSourceError, match=r"'acme/other' is neither .* nor reachable"):
        hub.resolve("acme/other", lambda _: None)
    assert hub.download_bytes("acme/other") is None
