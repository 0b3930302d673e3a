"""The matrix of answers: order, filters, win rates, and exports as a whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.bundle.writing import write_bundle
from tests.pages.test_one_truth import numbers
from tests.support.bundles import make_bundle
from tests.support.pages import app_on, settle, texts, turn_to

# How far policies differ on each prompt: p4 most, then p1, p5, p0.
SPREAD = {"p0": 0.1, "p1": 0.4, "p2": 0.0, "p3": 0.0, "p4": 0.6, "p5": 0.3}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    made = make_bundle(tmp_path / "portfolios" / "demo")
    prompts = made.prompts.assign(kind=["risky", "plain"] * 3)
    samples = made.samples.copy()
    half = samples["prompt_id"].map(SPREAD).astype(float) / 2
    # m1 is ahead on even prompts, m2 on odd ones.
    even = samples["prompt_id"].str[1].astype(int) % 2 == 0
    sign = np.select(
        [samples["policy"] == "m1", samples["policy"] == "m2"],
        [np.where(even, 1, -1), np.where(even, -1, 1)],
        0,
    )
    for trait in made.traits:
        samples[trait] = 0.5 + half * sign
    tables = {"prompts": prompts, "samples": samples}
    return write_bundle(made.folder, made.manifest, tables, replace=True)


@pytest.fixture
def app(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    started = app_on(bundle.folder.parent, monkeypatch)
    return turn_to(started, "generations")


def shown(app: AppTest) -> list[str]:
    """Prompts of the matrix, from the top."""
    table = next(d.value for d in app.dataframe if "prompt" in d.value)
    return [str(text) for text in table["prompt"]]


def questions(bundle: Bundle, *ids: str) -> list[str]:
    texts = bundle.prompts.set_index("prompt_id")["text"]
    return [str(texts[i]) for i in ids]


def test_prompts_on_which_policies_differ_most_come_first(app: AppTest, bundle: Bundle) -> None:
    assert shown(app)[:4] == questions(bundle, "p4", "p1", "p5", "p0")
    app.segmented_control(key="order.demo").set_value("As in the bundle").run()
    assert shown(app) == questions(bundle, *sorted(SPREAD))
    app.segmented_control(key="order.demo").set_value("Best for you first").run()
    assert shown(app)[:3] == questions(bundle, "p4", "p1", "p5")
    assert app.query_params["order"] in ("Best for you first", ["Best for you first"])


def test_kinds_and_splits_filter_and_win_rates_count_what_is_left(
    app: AppTest, bundle: Bundle
) -> None:
    def wins() -> dict[str, float]:
        for chart in app.get("plotly_chart"):
            made: Any = json.loads(chart.proto.spec)
            if "Whose answer is best" in str(made["layout"].get("title")):
                bar = made["data"][0]
                return dict(zip(bar["y"], numbers(bar["x"]), strict=True))
        raise AssertionError("no win rates")

    assert len(shown(app)) == 6
    app.multiselect(key="kind.demo").set_value(["risky"]).run()
    assert shown(app) == questions(bundle, "p4", "p0", "p2")
    assert wins()["m1"] > wins()["m2"]
    app.multiselect(key="kind.demo").set_value(["plain"]).run()
    assert set(shown(app)) == set(questions(bundle, "p1", "p3", "p5"))
    assert wins()["m2"] > wins()["m1"]
    app.multiselect(key="kind.demo").set_value([]).run()
    assert not any(m.key == "split.demo" for m in app.multiselect), "of no use to most"
    app.toggle(key="expert").set_value(True).run()
    app.multiselect(key="split.demo").set_value(["certify"]).run()
    held_out = bundle.prompts.loc[bundle.prompts["split"] == "certify", "prompt_id"]
    assert set(shown(app)) == set(questions(bundle, *held_out))


def test_columns_and_filters_are_in_the_address(
    app: AppTest, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "columns.1-2-3.demo"
    app.multiselect(key=key).set_value(["m1", "m5"]).run()
    app.multiselect(key="kind.demo").set_value(["risky"]).run()
    settle(app)
    app.run()
    query = {k: v[0] if isinstance(v, list) else v for k, v in dict(app.query_params).items()}
    again = app_on(bundle.folder.parent, monkeypatch, **query)
    turn_to(again, "generations")
    assert again.multiselect(key=key).value == ["m1", "m5"]
    assert again.multiselect(key="kind.demo").value == ["risky"]
    table = next(d.value for d in again.dataframe if "prompt" in d.value)
    assert list(table.columns) == ["prompt", "m1", "m5"]


def test_every_candidate_can_be_taken_along(bundle: Bundle) -> None:
    table = bundle.candidates_table()
    assert list(table.columns) == ["policy", *bundle.traits]
    assert table["policy"].tolist() == bundle.policies
    assert table[bundle.traits].to_numpy() == pytest.approx(bundle.rewards)
    assert isinstance(table, pd.DataFrame)


def test_names_that_repeat_have_columns_of_their_own(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = read_bundle(bundles / "demo")
    named = {"m1": "Helper", "m2": "Helper", "m3": "prompt"}
    candidates = tuple(
        c.model_copy(update={"display_name": named.get(c.policy, "")})
        for c in made.manifest.candidates
    )
    tables = {"prompts": made.prompts, "samples": made.samples}
    manifest = made.manifest.model_copy(update={"candidates": candidates})
    write_bundle(tmp_path / "demo", manifest, tables)
    app = app_on(tmp_path, monkeypatch)
    turn_to(app, "generations")
    assert not app.exception, [e.value for e in app.exception]
    table = next(d.value for d in app.dataframe if "prompt" in d.value)
    assert list(table.columns) == ["prompt", "Helper (m1)", "Helper (m2)", "prompt (m3)", "base"]


def test_a_cell_is_the_bluer_the_more_its_answer_is_worth(app: AppTest) -> None:
    table = next(d for d in app.dataframe if "prompt" in d.value)
    columns = [c for c in table.value.columns if c != "prompt"]
    rules = table.proto.arrow_data.styler.styles
    opacity: dict[tuple[int, int], float] = {}
    # Cells of one colour share a rule.
    for cells, colour in re.findall(r"([^{}]+)\{\s*background-color: rgba\(([^)]*)\)", rules):
        red, green, blue, alpha = colour.split(",")
        assert (red, green, blue) == ("74", "127", "181")
        for row, column in re.findall(r"_row(\d+)_col(\d+)", cells):
            opacity[int(row), int(column)] = float(alpha)
    values = {
        (row, 1 + column): float(table.value[name].iloc[row])
        for row in range(len(table.value))
        for column, name in enumerate(columns)
    }
    assert set(opacity) == set(values), "the prompts have no colour"
    low, high = min(values.values()), max(values.values())
    assert high > low
    for cell, value in values.items():
        assert opacity[cell] == pytest.approx(0.75 * (value - low) / (high - low), abs=0.006)


def test_a_card_says_that_its_value_is_an_average_and_its_scores_are_of_one_answer(
    app: AppTest, bundle: Bundle
) -> None:
    cards = "\n".join(h.proto.body for h in app.get("html") if "<article" in h.proto.body)
    values = bundle.points @ np.full(3, 1 / 3)
    for row in bundle.members:
        assert f"{values[row]:.3f} on average at your weights" in cards
    assert "scores are of this answer" in texts(app)
