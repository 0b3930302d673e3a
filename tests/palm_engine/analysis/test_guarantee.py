"""The guarantee in words: its numbers are the bundle's."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from palm_engine.analysis.guarantee import (
    as_json,
    diversity,
    never_best,
    planned_and_reached,
    statements,
)
from palm_engine.analysis.promise import promise
from palm_engine.bundle.folder import read_bundle
from palm_engine.bundle.schema import OutsideTest
from palm_engine.cli.main import app
from palm_engine.cli.terminal import certificate_lines
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.simplex import grid

ROOT = Path(__file__).resolve().parents[3]


DEMO = ROOT / "portfolios" / "demo"


def test_the_demo_says_its_own_numbers() -> None:
    bundle = read_bundle(DEMO)
    certificate = bundle.manifest.certificate
    assert certificate is not None
    said = {
        s.heading: s.text for s in statements(bundle, tuple(bundle.members), certificate.additive)
    }
    assert f"{certificate.additive.estimate:.4f}" in said["Promise"]
    assert f"{certificate.additive.upper:.4f}" in said["Confidence"]
    assert "candidates" in said["Scope"]
    everything = as_json(bundle, tuple(bundle.members), certificate.additive)
    assert everything["worst_gap"]["additive"] == pytest.approx(
        certificate.additive.estimate, abs=2e-6
    )
    reached = {r.policy: r for r in planned_and_reached(bundle, bundle.members)}
    assert set(reached) == {c.policy for c in bundle.manifest.candidates if c.kind == "adapter"}
    rows = {bundle.policies[i] for i in bundle.members}
    assert {p for p, r in reached.items() if r.is_member} == rows & set(reached)


def test_who_is_a_member_follows_the_portfolio() -> None:
    bundle = read_bundle(DEMO)
    adapters = [i for i, c in enumerate(bundle.manifest.candidates) if c.kind == "adapter"]
    for portfolio in (adapters[:1], adapters[2:4]):
        members = {r.policy for r in planned_and_reached(bundle, portfolio) if r.is_member}
        assert members == {bundle.policies[i] for i in portfolio}


def test_portfolios_of_the_diversity_table_are_said_to_be_chosen_elsewhere() -> None:
    bundle = read_bundle(DEMO)
    rows = diversity(bundle)
    assert {r.portfolio for r in rows} & {"uniform", "random"} == set()
    chosen, certify = bundle.points_on("choose"), bundle.points
    assert chosen is not None
    for row in rows:
        members = [bundle.row(m) for m in row.members]
        assert row.chosen_gap == pytest.approx(worst_gap(chosen[members], chosen).additive)
        assert row.worst_gap == pytest.approx(
            worst_gap(certify[members], certify).additive, abs=2e-6
        )
    # Where they were chosen, none of the same size is ahead of the exact one.
    exact = next(r for r in rows if r.portfolio == "exact")
    for row in rows:
        if len(row.members) <= len(exact.members):
            assert (row.chosen_gap or 0) >= (exact.chosen_gap or 0) / 1.05 - 1e-6


def test_members_chosen_on_their_own_prompts_are_not_called_without_prompts(tmp_path: Path) -> None:
    rows = ["policy,prompt_id,care,fun"]
    rows += [
        f"m{i},q{j},{(i + j) % 5 / 5},{(3 * i + j) % 7 / 7}" for i in range(4) for j in range(30)
    ]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    out = tmp_path / "p" / "table"
    done = CliRunner().invoke(
        app, ["select", str(tmp_path / "t.csv"), "--k", "2", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    bundle = read_bundle(out)
    told = promise(bundle, tuple(bundle.members), None)
    check = next(c for c in told.checks if c.heading == "Other prompts")
    assert "chosen on the same prompts" in check.text
    assert "row per prompt gives one" not in check.text
    # What the command said, and what it is worth; on the card, in full, and in print.
    said = re.search(
        r"95% bound (0\.\d{4}) from 30 prompts; chosen on the same", " ".join(done.output.split())
    )
    assert said is not None, done.output
    assert f"it is {said[1]} (95%, 30 prompts), which is too low" in check.text
    full = statements(bundle, tuple(bundle.members), None)
    assert any(said[1] in s.text for s in full if s.heading == "Confidence")
    assert "on the same prompts that would certify them" in certificate_lines(bundle)[0]


def test_candidates_that_no_weights_make_best_are_named_and_no_others() -> None:
    bundle = read_bundle(DEMO)
    never = never_best(bundle)
    values = bundle.points @ grid(3, 80).T
    ahead = values.argmax(axis=0)
    assert {bundle.policies[i] for i in ahead}.isdisjoint(never)
    assert never
    for policy in never:
        row = bundle.row(policy)
        others = [i for i in range(len(bundle.policies)) if i != row]
        assert worst_gap(bundle.points[others], bundle.points).additive <= 1e-9
    said = {s.heading: s.text for s in statements(bundle, tuple(bundle.members), None)}
    text = said["Best for no weights"]
    assert text.startswith(f"As measured, {len(never)} of the {len(bundle.policies)} candidates")
    assert bundle.label(never[0]) in text


def test_an_adapter_that_was_kept_out_is_called_by_its_name_for_people() -> None:
    shipped = read_bundle(DEMO)
    certificate = shipped.manifest.certificate
    assert certificate is not None
    trained = next(c for c in shipped.manifest.candidates if c.kind == "adapter")
    kept_out = trained.model_copy(update={"policy": "kept-out", "display_name": "Left at home"})
    corner = {t: float(t == "humor") for t in shipped.traits}
    seen = OutsideTest(policy="kept-out", weights=corner, value=0.3, portfolio_value=0.2, gap=0.1)
    tested = certificate.model_copy(update={"outside_test": (seen,)})
    bundle = replace(
        shipped,
        manifest=shipped.manifest.model_copy(
            update={"certificate": tested, "outside": (kept_out,)}
        ),
    )
    said = {s.heading: s.text for s in statements(bundle, tuple(bundle.members), tested.additive)}
    assert "(Left at home) is ahead by +0.1000" in said["Models kept out"]
