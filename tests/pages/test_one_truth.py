"""One quantity has one value: every page is walked, and what it says of a figure is compared.

Texts, metrics, maps, tables and charts of every page count, and so do the certificate as JSON and
the printed report. Figures are told apart by bundle and portfolio: each walk has one of each.
"""

from __future__ import annotations

import base64
import html
import json
import re
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from app.components.export.report import report
from palm_engine.analysis.curves import best_of_every_size
from palm_engine.analysis.guarantee import as_json
from palm_engine.analysis.limits import options_of_limits
from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.cli.main import app as palm
from tests.support.pages import SHIPPED, app_on, settle, texts, turn_to

NUMBER = r"(\d+\.\d+)"
WORST = "worst gap in use"
AVERAGE = "average loss of uniform users"
BOUND = "bound"
SINGLE = "worst gap of the best single model"
PLANNED = "planned worst gap"
# What is said in words, by the figure that it is of.
SAID = {
    WORST: (
        rf"Worst gap {NUMBER} \((?:scope|exact)",
        rf"Worst anywhere[^:]*, exact: {NUMBER}",
        rf"this portfolio has {NUMBER}",
        rf"is at most {NUMBER} \(reward units\) behind the best",
        rf"the worst-off {NUMBER}\.",
    ),
    AVERAGE: (
        rf"On average users lose {NUMBER}, the",
        rf"average loss {NUMBER} instead of",
    ),
    "share lost at most": (
        rf"together lose at most {NUMBER} %",
        rf"models loses at most {NUMBER} %",
        rf"at most {NUMBER}% is lost",
    ),
    BOUND: (
        rf"bound {NUMBER} from \d+ prompts",
        rf"certain that the worst gap is at most {NUMBER} on",
        rf"confidence the worst gap is at most {NUMBER} on",
        rf"bounded by themselves: at most {NUMBER}\. The",
    ),
    SINGLE: (rf"has a worst gap of {NUMBER}; this portfolio",),
    PLANNED: (rf"Before training, {NUMBER} was planned",),
}
# Metrics, by their labels.
METRICS = {"Lost on average": AVERAGE, "Predicted worst gap": PLANNED}
# Small multiples, by what they are called; and columns of tables with a row per size.
BY_SIZE = {"average loss": AVERAGE}
COLUMNS = {
    "exact best": WORST,
    "bound": BOUND,
    "worst gap": WORST,
    "worst": WORST,
    "upper": BOUND,
    "average loss": AVERAGE,
    "expected": AVERAGE,
    "serving per month": "price of a month",
}
PAGES = ("explore", "find", "tradeoff", "coverage", "generations", "plan", "guarantee", "data")
Figures = dict[str, list[str]]


def said_in(text: str) -> Figures:
    """Every figure that a text names."""
    return {
        figure: [x for pattern in patterns for x in re.findall(pattern, text)]
        for figure, patterns in SAID.items()
    }


def numbers(values: Any) -> list[float]:
    """What plotly's JSON holds for a column: a list, or doubles in base 64."""
    if isinstance(values, dict):
        raw = base64.b64decode(values["bdata"])
        form = {"f8": "d", "i1": "b", "i2": "h", "i4": "i", "u1": "B"}[values["dtype"]]
        return [float(x) for (x,) in struct.iter_unpack(f"<{form}", raw)]
    return [float(x) for x in values]


def charted(app: AppTest, size: int) -> Figures:
    """What charts show of a portfolio of this size."""
    found: Figures = defaultdict(list)
    for chart in app.get("plotly_chart"):
        for trace in json.loads(chart.proto.spec)["data"]:
            about = str(trace.get("hovertemplate"))
            by_size = [n for n in BY_SIZE if f"<extra>{n}</extra>" in about]
            for name in by_size:
                by = dict(zip(numbers(trace["x"]), numbers(trace["y"]), strict=True))
                found[f"{BY_SIZE[name]}, best of its size"].append(str(by[size]))
            if "worst gap %{x" in about:
                ours, single = numbers(trace["x"])
                found[WORST].append(str(ours))
                found[SINGLE].append(str(single))
    return found


def shown_by(component: Any) -> Figures:
    """What the panel says, of the portfolio and of one model alone."""
    found: Figures = defaultdict(list)
    shown = json.loads(component.proto.json)
    if not isinstance(shown, dict) or not shown.get("worst") or shown["scope"] != "candidates":
        return found
    found |= said_in(shown["worst"]["text"])
    found[WORST].append(f"{shown['worst']['additive']:.9f}")
    found[AVERAGE].append(f"{shown['worst']['average']:.9f}")
    for other in shown["others"]:
        if other["label"] == "One model":
            found[SINGLE].append(f"{other['worst']['additive']:.9f}")
    return found


def tabled(frame: pd.DataFrame, size: int) -> Figures:
    """What a table with a row per size says of this one, and of one model alone."""
    found: Figures = defaultdict(list)
    key = next((c for c in ("members", "size") if c in frame), None)
    # Of planned policies these are other figures.
    is_plan = any(str(c).startswith("planned") for c in frame)
    if key is None or is_plan or not pd.api.types.is_numeric_dtype(frame[key]):
        return found
    rows = frame.set_index(key)
    for column in set(COLUMNS) & set(frame):
        figure = COLUMNS[column]
        if size in rows.index and pd.notna(rows[column][size]):
            found[f"{figure}, best of its size"].append(f"{rows[column][size]:.9f}")
        if figure == WORST and 1 in rows.index:
            found[SINGLE].append(f"{rows[column][1]:.9f}")
    return found


def collected(app: AppTest, size: int, planned: bool = False) -> Figures:
    """Every figure that a page says, by what it is of; but for tables of `planned` policies."""
    found: Figures = defaultdict(list)
    parts = [said_in(re.sub(r"<[^>]+>", "", html.unescape(texts(app)))), charted(app, size)]
    for metric in app.metric:
        if metric.label in METRICS:
            found[METRICS[metric.label]].append(metric.value)
        elif re.fullmatch(NUMBER, metric.value):
            # Whatever else is called alike is alike.
            found[f"metric: {metric.label}"].append(metric.value)
    parts += [shown_by(component) for component in app.get("bidi_component")]
    if not planned:
        parts += [tabled(table.value, size) for table in app.dataframe]
    for part in parts:
        for figure, values in part.items():
            found[figure] += values
    return found


def of_exports(bundle: Bundle, rows: tuple[int, ...], bound: Any) -> Figures:
    """What the certificate as JSON and the printed report say."""
    found: Figures = defaultdict(list)
    written = as_json(bundle, rows, bound)
    curve = best_of_every_size(bundle.points, bundle.policies)
    found[WORST].append(f"{written['worst_gap']['additive']:.9f}")
    found[AVERAGE].append(f"{written['expected_gap']:.9f}")
    if written["bound"]:
        found[BOUND].append(f"{written['bound']['upper']:.9f}")
    printed = html.unescape(re.sub(r"<[^>]+>", "", report(bundle, rows, bound, curve)))
    for figure, values in said_in(printed).items():
        found[figure] += values
    return found


def in_use(bundle: Bundle, size: int | None) -> tuple[tuple[int, ...], Any]:
    """The members of a size (None: the bundle's own), and the bound that is known of them."""
    certificate = bundle.manifest.certificate
    own = tuple(bundle.members), certificate.additive if certificate else None
    if size is None:
        return own
    if certificate is None:
        limits = options_of_limits(bundle.limits, bundle.rewards, bundle.traits, bundle.row)
        info = best_of_every_size(bundle.points, bundle.policies, limits=limits)
        names = info.members[info.sizes.index(size)]
        return tuple(bundle.row(m) for m in names), None
    point = next(p for p in certificate.curve if p.k == size)
    rows = tuple(bundle.row(m) for m in point.members)
    return own if set(rows) == set(own[0]) else (rows, point.gap)


def agree(values: list[str]) -> bool:
    """Whether all are one number, as far as the decimals of the coarser of each two go."""

    def alike(one: str, other: str) -> bool:
        # Bundles keep six places.
        places = min(5, *(len(text.partition(".")[2]) for text in (one, other)))
        return abs(float(one) - float(other)) <= 0.5001 * 0.1**places

    return all(alike(a, b) for a in values for b in values)


def of_a_table(folder: Path) -> Path:
    """A folder with the bundle of a table, for users who care for safety."""
    rows = ["policy,prompt_id,safety,humor,brevity"]
    rows += [
        f"m{i},q{j},{(i + j) % 5 / 5},{(3 * i + j) % 7 / 7},{(5 * i + 2 * j) % 11 / 11}"
        for i in range(6)
        for j in range(30)
    ]
    (folder / "t.csv").write_text("\n".join(rows))
    command = ["select", str(folder / "t.csv"), "--k", "2", "--where", "safety>=.3"]
    done = CliRunner().invoke(palm, [*command, "--out", str(folder / "all" / "demo")])
    assert done.exit_code == 0, done.output
    return folder / "all"


@pytest.mark.parametrize("size", [None, 2, "own"])
@pytest.mark.parametrize("name", ["demo", "shipped", "table"])
def test_no_figure_has_two_values(
    bundles: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    size: int | str | None,
) -> None:
    root = {"demo": bundles, "shipped": SHIPPED}.get(name) or of_a_table(tmp_path)
    bundle = read_bundle(root / "demo")
    own = len(bundle.members)
    k = own if size in (None, "own") else int(str(size))
    app = app_on(root, monkeypatch)
    if size is not None:
        app.session_state["size.demo"] = k
    figures: Figures = defaultdict(list)
    for page in PAGES:
        turn_to(app, page)
        settle(app)
        assert not app.exception, [e.value for e in app.exception]
        for figure, values in collected(app, k, page == "plan").items():
            figures[figure] += values
    rows, bound = in_use(bundle, None if size is None else k)
    for figure, values in of_exports(bundle, rows, bound).items():
        figures[figure] += values
    if size is not None:
        # What is in use is the best of its size: then these are the same figures. The bundle's own
        # members have a bound by themselves, and the page says why that is another.
        is_own = set(rows) == set(bundle.members)
        for figure in (WORST, AVERAGE) if is_own else (WORST, AVERAGE, BOUND):
            figures[figure] += figures.pop(f"{figure}, best of its size", [])
    assert len(figures[WORST]) >= (8 if name != "table" else 6)
    assert len(figures[AVERAGE]) >= 6
    assert len(figures[SINGLE]) >= 4
    assert len(figures["share lost at most"]) >= 3
    if name == "shipped":
        assert len(figures[BOUND]) >= 4
    if name == "shipped" and k == own:
        assert len(figures[PLANNED]) >= (2 if size is None else 1)
    for figure, values in figures.items():
        assert agree(values), f"{figure}: {sorted(set(values))}"


def test_the_comparison_notices_a_second_value() -> None:
    assert agree(["0.0203", "0.020", "0.02029"])
    assert not agree(["0.0203", "0.0290"])
    assert not agree(["0.0203", "0.0205"])
    assert agree(["4.0", "3.98"])
    assert not agree(["4.0", "3.7"])
