"""`palm import` from file to bundle: what is certified is what the table says."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import palm_engine as palm
from palm_engine.bundle.folder import read_bundle
from palm_engine.cli.main import app
from palm_engine.geometry.gap import worst_gap
from palm_engine.tables.files import read_table_file
from palm_engine.tables.importing import import_table
from palm_engine.tables.spec import ImportSpec


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    return done.exit_code, done.output + (str(done.exception) if done.exception else "")


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Six models on 40 prompts: grades from 1 to 10, seconds where less is better."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(6):
        for q in range(40):
            grade = np.clip(round(3 + i + rng.normal(0, 1)), 1, 10)
            text = "Yes." if i == 5 else f"answer {i} {q}"
            rows.append((f"org/m {i}", f"What is {q}?", text, grade, 1 + i * i + rng.random()))
    frame = pd.DataFrame(rows, columns=["model", "prompt", "output", "helpful", "seconds"])
    frame.to_csv(tmp_path / "judged.tsv", sep="\t", index=False)
    return tmp_path / "judged.tsv"


def test_a_long_table_is_certified_on_the_prompts_it_was_not_chosen_on(
    long: Path, tmp_path: Path
) -> None:
    more = ("--k", 3, "--seed", 5, "--title", "Judged by one")
    code, output = run("import", long, "--out", tmp_path / "out" / "judged", *more)
    assert code == 0, output
    assert "org/m 5 gives the same answer to every prompt" in output.replace("\n", " ")
    bundle = read_bundle(tmp_path / "out" / "judged")
    certificate = bundle.manifest.certificate
    assert certificate is not None
    assert (certificate.scope, certificate.additive.prompts) == ("candidates", 20)
    certify, choose = bundle.scores_on("certify"), bundle.scores_on("choose")
    assert certify is not None
    assert choose is not None
    assert len(certify) + len(choose) == 40
    mean = certify.mean(axis=0)
    assert certificate.additive.estimate == pytest.approx(
        worst_gap(mean[bundle.members], mean).additive, abs=1e-9
    )
    assert bundle.points == pytest.approx(mean)
    raw = pd.read_csv(long, sep="\t")
    seconds = raw["seconds"].to_numpy()
    expected = 1 - (seconds - seconds.min()) / (seconds.max() - seconds.min())
    every = np.concatenate([certify, choose])[:, :, 1].mean(axis=0)
    assert every == pytest.approx(expected.reshape(6, 40).mean(axis=1))
    assert bundle.manifest.traits[1].direction == "lower"
    assert bundle.label("org-m-5") == "org/m 5 ⚠"
    assert bundle.candidate("org-m-5").warning
    assert bundle.manifest.imported is not None
    # Settings are recorded whole: read again under them, the table is the same.
    spec = ImportSpec.model_validate(bundle.manifest.imported.settings)
    table = import_table(read_table_file(long), spec)
    assert table.record is not None
    assert table.record.settings == bundle.manifest.imported.settings
    assert [t.name for t in spec.traits] == bundle.traits
    assert table.scores is not None
    assert table.scores[:, :, 1].mean(axis=0) == pytest.approx(every)
    # The recorded command, run as it stands, gives the same bundle.
    words = shlex.split(bundle.manifest.imported.command)
    words[words.index("--out") + 1] = str(tmp_path / "again" / "judged")
    assert run(*words[1:])[0] == 0
    again = read_bundle(tmp_path / "again" / "judged")
    assert again.manifest.candidates == bundle.manifest.candidates
    assert again.manifest.members == bundle.manifest.members
    assert again.prompts.equals(bundle.prompts), "the same split"
    assert again.manifest.title == bundle.manifest.title == "Judged by one"


def test_a_leaderboard_goes_through_and_says_what_it_understood(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [
        (
            f"org/model-{i}",
            f"{rng.uniform(5, 95):.1f}%",
            f"{rng.integers(200, 3000):,}",
            rng.random(),
        )
        for i in range(200)
    ]
    columns = ["", "win_rate", "avg_length", "price"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "lb.csv", index=False)
    code, output = run("import", tmp_path / "lb.csv", "--out", tmp_path / "lb", "--json")
    assert code == 0, output
    found = json.loads(output[output.index("{") :])
    assert found["policies"] == 200
    assert found["traits"] == ["win_rate", "less-avg_length", "less-price"]
    bundle = read_bundle(tmp_path / "lb")
    assert bundle.manifest.certificate is None
    assert all(c.kind == "remote" and not c.can_run for c in bundle.manifest.candidates)
    assert len(bundle.members) == 4


def test_nothing_is_written_for_a_dry_run_and_nothing_is_replaced(
    long: Path, tmp_path: Path
) -> None:
    out = tmp_path / "judged"
    code, output = run("import", long, "--out", out, "--dry-run")
    assert code == 0
    assert "--trait helpful:range:1:10 --trait seconds:lower:min-max" in output
    assert not out.exists()
    assert run("import", long, "--out", out)[0] == 0
    wide = tmp_path / "wide.csv"
    wide.write_text("model,a,b\nx,0.5,0.7\ny,0.1,0.9\n")
    code, output = run("import", wide, "--out", out)
    assert code != 0
    assert "recorded texts, a certificate" in output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--policy", "nobody"], "--policy 'nobody': no such column"),
        (["--trait", "helpful"], "give 2 to 8; 1 given"),
        (["--trait", "helpful:range:1:5", "--trait", "seconds"], r"is not in \[1, 5\]"),
        (["--missing", "ignore"], "missing"),
        (["--decimal", ";"], "--decimal"),
    ],
)
def test_wrong_options_are_named(
    long: Path, tmp_path: Path, arguments: list[str], why: str
) -> None:
    import re

    code, output = run("import", long, "--out", tmp_path / "out", *arguments)
    assert code != 0
    assert re.search(why, output.replace("\n", " ")), output
    assert not (tmp_path / "out").exists()


def test_clusters_stay_together_and_count_as_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = [
        (f"m{i}", f"q{q}", f"topic {q // 4}", *(rng.random(2) * 0.3 + 0.1 * i))
        for i in range(3)
        for q in range(48)
    ]
    frame = pd.DataFrame(rows, columns=["model", "prompt", "cluster", "x", "y"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    code, output = run("import", tmp_path / "t.csv", "--out", tmp_path / "with", "--k", 1)
    assert code == 0, output
    assert "--cluster cluster" in output.replace("\n", " ")
    bundle = read_bundle(tmp_path / "with")
    split = bundle.prompts.groupby("cluster")["split"].nunique()
    assert (split == 1).all()
    assert bundle.manifest.certificate is not None
    bound = bundle.manifest.certificate.additive
    assert (bound.prompts, bound.clusters) == (24, 6)
    assert palm.certify(bundle, [bundle.policies[i] for i in bundle.members]).clusters == 6
    # Nobody names them: more seems to be known.
    frame.drop(columns="cluster").to_csv(tmp_path / "t.csv", index=False)
    assert run("import", tmp_path / "t.csv", "--out", tmp_path / "without", "--k", 1)[0] == 0
    alone = read_bundle(tmp_path / "without").manifest.certificate
    assert alone is not None
    assert alone.additive.clusters is None
    assert alone.additive.upper < bound.upper
    frame.loc[53, "cluster"] = "elsewhere"
    frame.to_csv(tmp_path / "t.csv", index=False)
    code, output = run("import", tmp_path / "t.csv", "--out", tmp_path / "wrong")
    assert code != 0
    assert "row 55, column cluster: prompt 'q5' is in cluster" in " ".join(output.split())
    frame["cluster"] = "one"
    frame.to_csv(tmp_path / "t.csv", index=False)
    code, output = run("import", tmp_path / "t.csv", "--out", tmp_path / "wrong")
    assert code != 0
    assert "the prompts are of 1 cluster(s)" in " ".join(output.split())
    assert not (tmp_path / "wrong").exists()
