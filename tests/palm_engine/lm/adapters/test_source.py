"""Adapters from a folder or from a hub, where only their two files are fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from palm_engine.errors import ModelSourceError
from tests.support.fakes import write_adapter
from tests.support.hub import Hub, served

__all__ = ["served"]

pytest.importorskip("torch")
pytest.importorskip("huggingface_hub")

from palm_engine.lm.adapters.source import resolve_adapter

FETCHED = ["adapter_config.json", "adapter_model.safetensors"]


def test_a_folder_of_the_project_comes_before_the_hub(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "acme" / "tiny", 1)
    assert resolve_adapter("acme/tiny", tmp_path, lambda _: None) == folder
    with pytest.raises(ModelSourceError, match="neither a local folder nor a Hugging Face id"):
        resolve_adapter("nowhere", tmp_path)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALM_CACHE", str(tmp_path / "cache"))


def test_an_adapter_of_the_hub_is_fetched_without_anything_else(
    served: type[Hub], tmp_path: Path
) -> None:
    made = write_adapter(tmp_path / "made", 1)
    served.files = {name: (made / name).read_bytes() for name in FETCHED}
    served.files |= {"optimizer.pt": b"a pickle", "model.safetensors": b"a merged model"}
    notices: list[str] = []
    folder = resolve_adapter("acme/tiny", tmp_path, notices.append)
    assert sorted(p.name for p in folder.iterdir() if p.is_file()) == FETCHED
    assert resolve_adapter("acme/tiny", tmp_path, notices.append) == folder
    assert (folder / FETCHED[1]).read_bytes() == (made / FETCHED[1]).read_bytes()
    assert "acme/tiny" in notices[0]


def test_what_the_hub_has_not_is_said(served: type[Hub], tmp_path: Path) -> None:
    with pytest.raises(ModelSourceError, match=r"no adapter_model\.safetensors"):
        resolve_adapter("acme/tiny", tmp_path, lambda _: None)
    with pytest.raises(ModelSourceError, match="adapter 'acme/other' is neither"):
        resolve_adapter("acme/other", tmp_path, lambda _: None)


def test_a_folder_of_links_as_the_hubs_cache_has_it_is_read_as_files(tmp_path: Path) -> None:
    made = write_adapter(tmp_path / "blobs", 1)
    snapshot = tmp_path / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name in FETCHED:
        (snapshot / name).symlink_to(made / name)
    folder = resolve_adapter(str(snapshot), tmp_path, lambda _: None)
    assert not any(p.is_symlink() for p in folder.iterdir())
    assert (folder / FETCHED[1]).read_bytes() == (made / FETCHED[1]).read_bytes()
    # What the links lead to may change: then it is another adapter.
    other = write_adapter(tmp_path / "other", 2)
    (made / FETCHED[1]).write_bytes((other / FETCHED[1]).read_bytes())
    again = resolve_adapter(str(snapshot), tmp_path, lambda _: None)
    assert (again / FETCHED[1]).read_bytes() == (other / FETCHED[1]).read_bytes()
    (snapshot / FETCHED[1]).unlink()
    (snapshot / FETCHED[1]).symlink_to(tmp_path / "nowhere")
    with pytest.raises(ModelSourceError, match="can't be read"):
        resolve_adapter(str(snapshot), tmp_path, lambda _: None)
