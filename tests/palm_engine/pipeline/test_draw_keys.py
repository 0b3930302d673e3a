"""What drawn answers depend on, and so what is drawn anew when something changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from palm_engine.lm.settings import SamplingSettings, TemplateSettings
from palm_engine.pipeline.mixture import MixTask, mixture_key
from palm_engine.pipeline.sample import DrawTask, draw_key

TASK = DrawTask(
    "base", None, "calm", "be calm", None, (("p1", "How?"),), 2, SamplingSettings(), 1, 16
)


def test_how_many_are_drawn_at_once_changes_nothing_that_is_kept() -> None:
    kept = draw_key(TASK, ["model"])
    assert draw_key(replace(TASK, batch_size=4, base=str(Path("/elsewhere"))), ["model"]) == kept
    mixed = mixture_key(MixTask(TASK, {}), ["model"])
    assert mixture_key(MixTask(replace(TASK, batch_size=4), {}), ["model"]) == mixed


@pytest.mark.parametrize(
    "change",
    [
        {"policy": "kind"},
        {"system": "be brief"},
        {"prompts": (("p1", "Why?"),)},
        {"samples": 3},
        {"settings": SamplingSettings(temperature=0.1)},
        {"seed": 2},
        {"template": TemplateSettings(options={"x": "y"})},
    ],
)
def test_everything_else_does(change: dict[str, object]) -> None:
    kept = draw_key(TASK, ["model"])
    assert draw_key(replace(TASK, **change), ["model"]) != kept  # type: ignore[arg-type]
    assert draw_key(TASK, ["another model"]) != kept
