"""The configuration reference of the documentation leaves nothing out."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from palm_engine.pipeline.config import BuildConfig

PLACE = Path(__file__).resolve().parents[1] / "docs" / "hooks.py"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", PLACE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reachable(hooks: ModuleType, model: type[BaseModel], found: set[type[BaseModel]]) -> None:
    found.add(model)
    for field in model.model_fields.values():
        for inner in hooks.models_in(field.annotation):
            if inner not in found:
                reachable(hooks, inner, found)


def test_every_field_of_every_table_is_in_the_reference(hooks: ModuleType) -> None:
    lines = list(hooks.reference())
    sections: dict[str, set[str]] = {}
    for line in lines:
        if line.startswith("## "):
            heading = line
            sections[heading] = set()
        elif line.startswith("| `"):
            sections[heading].add(line.split("`")[1])
    models: set[type[BaseModel]] = set()
    reachable(hooks, BuildConfig, models)
    assert len(models) > 15
    for model in models:
        fields = set(model.model_fields)
        assert fields in list(sections.values()), model.__name__
    text = "\n".join(lines)
    for heading in ("[training.dpo]", "[training.grpo]", 'kind = "judge"', 'kind = "classifier"'):
        assert f"## `{heading}`" in text
    assert "no longer linear" in text, "what GDPO's normalisation changes"
