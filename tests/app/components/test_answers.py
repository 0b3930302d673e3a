"""Cards of recorded answers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from app.components.answers import card, recorded
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.writing import write_bundle
from tests.support.bundles import make_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Answers of m1 were cut, those of m2 ended by themselves; others were drawn here."""
    made = make_bundle(tmp_path / "ended")
    endings = made.samples["policy"].map({"m1": "length", "m2": "stop"}).fillna("")
    tables = {"prompts": made.prompts, "samples": made.samples.assign(finish_reason=endings)}
    return write_bundle(tmp_path / "again", made.manifest, tables)


def test_a_card_says_where_an_answer_was_cut(bundle: Bundle) -> None:
    shown = [(p, "why", "#000") for p in ("m1", "m2", "m3")]
    found = [card(c)["subtitle"] for c in recorded(bundle, "p1", shown)]
    assert found == ["why · 9 tokens · ended: length", "why · 9 tokens", "why · 9 tokens"]


def test_bundles_that_never_kept_it_say_nothing(bundles: Path) -> None:
    from palm_engine.bundle.folder import read_bundle

    plain = read_bundle(bundles / "demo")
    assert "finish_reason" not in pd.DataFrame(plain.samples).columns
    (one,) = recorded(plain, "p1", [("m1", "why", "#000")])
    assert one.ending == ""
