"""The panel's contract: one schema, written down for the browser's side."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from app.components.panel_view import Field, PanelView
from tests.support.browser_tools import ROOT

SCHEMA = ROOT / "app" / "components" / "browser" / "view.schema.json"


def view(**changes: object) -> PanelView:
    content: dict[str, object] = {
        "id": "demo",
        "file": "demo",
        "layout": "map",
        "title": "t",
        "traits": ["A", "B"],
        "trait_ids": ["a", "b"],
        "unit": "reward units",
        "scope": "candidates",
        "rival": "best candidate",
        "follow": True,
        "policies": ["m"],
        "names": ["m"],
        "colours": ["#4477AA"],
        "members": [[0.1, 0.2]],
        "rewards": [[0.1, 0.2]],
        "trained": [None],
        "candidates": [[0.1, 0.2]],
    }
    return PanelView.model_validate(content | changes)


def test_the_written_schema_is_the_models() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == PanelView.model_json_schema()


def test_the_browser_reads_the_version_that_is_written() -> None:
    component = (SCHEMA.parent / "component.js").read_text(encoding="utf-8")
    assert f"const VIEW_VERSION = {view().version};" in component


def test_the_stamp_changes_with_everything_but_the_weights() -> None:
    one = view().for_browser([50.0, 50.0])
    assert one["stamp"] == view().for_browser([10.0, 90.0])["stamp"]
    assert one["stamp"] != view(title="other").for_browser([50.0, 50.0])["stamp"]
    assert one["stamp"] != view(field=Field(kind="gap")).for_browser([50.0, 50.0])["stamp"]
    assert one["traitColours"] == []


def test_an_unknown_kind_of_field_is_refused() -> None:
    with pytest.raises(ValidationError):
        view(field={"kind": "nonsense"})
