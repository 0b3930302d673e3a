"""The tiny model with the adapters of the tiny bundle stacked on it, once per module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from palm_engine.bundle.folder import Bundle
from tests.support.fakes import tiny_bundle, tiny_llama

if TYPE_CHECKING:
    from palm_engine.lm.adapters.stack import AdapterStack


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("portfolios") / "tiny")


@pytest.fixture(scope="module")
def loaded(bundle: Bundle) -> tuple[Any, AdapterStack, dict[str, Path]]:
    from palm_engine.lm.adapters.files import read_adapter
    from palm_engine.lm.adapters.stack import AdapterStack

    model = tiny_llama()
    stack = AdapterStack(model)
    folders = {p: bundle.adapter_folder(p) for p in "abc"}
    for name, folder in folders.items():
        stack.add({name: read_adapter(folder)})
    return model, stack, folders
