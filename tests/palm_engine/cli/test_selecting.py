"""`palm select`, `certify`, `curve`, `methods` on real files, as a user would call them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import palm_engine
from palm_engine.analysis.curves import best_of_every_size
from palm_engine.analysis.limits import options_of_limits
from palm_engine.bundle.folder import read_bundle
from palm_engine.bundle.limits import Limits
from palm_engine.errors import BundleError, InvalidInputError
from palm_engine.geometry.gap import worst_gap
from palm_engine.selection.minimum import minimum
from palm_engine.selection.result import Target
from palm_engine.tables.read import read_reward_table
from tests.support.bundles import sphere
from tests.support.command_line import Palm

# Status, and all that is printed.
Both = Callable[..., tuple[int, str]]
TRAITS = ["safety", "humor", "brevity"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    frame = pd.DataFrame(sphere(12, 3, 0), columns=TRAITS)
    frame.insert(0, "policy", [f"p{i}" for i in range(12)])
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


@pytest.fixture
def palm(palm: Palm) -> Both:
    def run(*words: object) -> tuple[int, str]:
        done = palm(*words)
        return done.status, done.out + done.err

    return run


def test_decimal_commas_are_read_where_they_are_asked_for(palm: Both, tmp_path: Path) -> None:
    path = tmp_path / "komma.csv"
    path.write_text("Modell;gut;Sekunden\na;0,5;1,250\nb;0,75;2,500\nc;0,125;7,000\n")
    traits = ["--trait", "gut", "--trait", "rasch=Sekunden:lower:range:0:10000"]
    command = ["import", path, "--policy", "Modell", *traits]
    # 1,250 is a thousand and more, unless it is said that a comma stands before decimals.
    for sign, seconds in ((".", [1250, 2500, 7000]), (",", [1.25, 2.5, 7])):
        out = tmp_path / "p" / ("point" if sign == "." else "comma")
        given = path if sign == "," else tmp_path / "point.csv"
        (tmp_path / "point.csv").write_text(path.read_text().replace("0,", "0."))
        code, text = palm(*command[:1], given, *command[2:], "--decimal", sign, "--out", out)
        assert code == 0, text
        rewards = read_bundle(out).rewards
        assert rewards[:, 0] == pytest.approx([0.5, 0.75, 0.125])
        assert rewards[:, 1] == pytest.approx([1 - s / 10000 for s in seconds])
    code, text = palm(*command, "--decimal", ".", "--out", tmp_path / "p" / "no")
    assert code == 2
    assert "'0,5'" in text
    assert not (tmp_path / "p" / "no").exists()


def test_names_stay_whole_beside_many_traits(palm: Both, tmp_path: Path) -> None:
    frame = pd.DataFrame(sphere(9, 6, 1), columns=[f"trait-{i}" for i in range(6)])
    frame.insert(0, "policy", [f"org-model-{i}-instruct" for i in range(9)])
    frame.to_csv(tmp_path / "six.csv", index=False)
    code, out = palm("select", tmp_path / "six.csv", "--k", "3")
    assert code == 0
    assert len(re.findall(r"org-model-\d-instruct", out)) >= 3


def test_one_who_cheats_is_named_wherever_portfolios_are_compared(
    palm: Both, tmp_path: Path
) -> None:
    rows = ["policy,prompt_id,text,x,y"]
    for q in range(12):
        rows += [f"honest,q{q},answer {q},0.{q % 5},0.5", f"same,q{q},Yes.,0.9,0.1"]
        rows += [f"other,q{q},reply {q},0.5,0.{q % 7}"]
    (tmp_path / "long.csv").write_text("\n".join(rows))
    for command in ("select", "curve", "recommend", "compare"):
        budget = ["--k", "2"] if command in ("select", "compare") else []
        code, out = palm(command, tmp_path / "long.csv", *budget)
        assert code == 0
        assert "gives the same answer to every prompt" in " ".join(out.split()), command
        out = palm(command, tmp_path / "long.csv", *budget, "--json")[1]
        found = json.loads(out[out.index("{") : out.rindex("}") + 1])
        assert found["warnings"] == {"same": "gives the same answer to every prompt"}


def test_what_is_dropped_for_missing_cells_is_said(palm: Both, tmp_path: Path) -> None:
    (tmp_path / "holes.csv").write_text("policy,x,y\na,.1,.9\nb,,.5\nc,.5,\nd,.9,.1\n")
    command = ("import", tmp_path / "holes.csv", "--out", tmp_path / "p" / "holes")
    code, out = palm(*command, "--missing", "drop-policy")
    assert code == 0, out
    assert "Dropped for missing cells: 2 policies." in out
    assert read_bundle(tmp_path / "p" / "holes").policies == ["a", "d"]


def test_select_prints_one_object_with_the_promised_fields(palm: Both, table: Path) -> None:
    code, out = palm("select", table, "--delta", "0.05", "--slack", "0", "--json")
    output = json.loads(out)
    points = read_reward_table(table).points
    best = minimum(points, Target(delta=0.05))
    assert code == 0
    assert output["members"] == [f"p{m}" for m in best.members]
    assert set(output["weights"]) == set(output["members"])
    assert output["size"] == output["size_lower_bound"] == len(best.members)
    assert output["gap_lower_bound"] is None
    assert output["worst_gap"]["additive"] == pytest.approx(best.gap.additive)
    assert sum(output["worst_gap"]["at_weights_additive"].values()) == pytest.approx(1)
    assert set(output["coverage"]) == {"threshold", "share"}
    assert output["coverage"]["share"] == 1
    assert output["scope"] == "candidates"
    code, out = palm("select", table, "--k", "3", "--slack", "0", "--json")
    output = json.loads(out)
    assert output["size_lower_bound"] is None
    assert output["gap_lower_bound"] == pytest.approx(output["worst_gap"]["additive"])


def test_a_tie_goes_to_the_best_on_average(palm: Both, table: Path) -> None:
    first, chosen, wide = (
        json.loads(palm("select", table, "--k", "3", *slack, "--json")[1])
        for slack in (["--slack", "0"], [], ["--slack", "1"])
    )
    bound = first["gap_lower_bound"]
    assert chosen["gap_lower_bound"] == wide["gap_lower_bound"] == bound
    assert chosen["worst_gap"]["additive"] <= 1.05 * bound + 1e-9
    assert wide["worst_gap"]["additive"] <= 2 * bound + 1e-9
    averages = [r["users"]["expected_gap"] for r in (first, chosen, wide)]
    assert averages == sorted(averages, reverse=True)
    assert averages[2] < averages[0]


def test_users_are_what_a_portfolio_may_be_chosen_for(
    palm: Both, table: Path, tmp_path: Path
) -> None:
    common = ("select", table, "--json", "--threshold", "0.04")
    expected, worst = (
        json.loads(palm(*common, "--k", "3", "--objective", o)[1]) for o in ("expected", "worst")
    )
    assert expected["users"]["expected_gap"] <= worst["users"]["expected_gap"] + 1e-9
    assert expected["users"]["expected_gap_lower_bound"] == pytest.approx(
        expected["users"]["expected_gap"]
    )
    assert expected["worst_gap"]["additive"] >= worst["worst_gap"]["additive"] - 1e-9
    most = json.loads(palm(*common, "--k", "3", "--objective", "coverage")[1])
    assert most["users"]["within"] >= max(r["users"]["within"] for r in (expected, worst))
    fewest = json.loads(palm(*common, "--objective", "coverage", "--share", "0.9")[1])
    assert fewest["users"]["within"] >= 0.9
    assert fewest["size"] == fewest["size_lower_bound"]
    assert 0 < fewest["users"]["within_at_least"] < fewest["users"]["within"]
    code, out = palm("select", table, "--objective", "coverage", "--share", "0.9")
    assert code == 0
    assert "of them lose at most 0.05" in " ".join(out.split())
    lean = json.loads(palm(*common, "--k", "1", "--population", "dirichlet:9,1,1")[1])
    assert lean["users"]["population"] == "dirichlet:9,1,1"
    for wrong, why in (
        (["--k", "2", "--population", "dirichlet:1,2"], "a number for each of safety"),
        (["--k", "2", "--population", "dirichlet:0"], "must be positive"),
        (["--k", "2", "--population", tmp_path / "none.csv"], "none.csv"),
        (["--k", "2", "--objective", "median"], "none of worst, expected, coverage"),
        (["--k", "2", "--share", ".5"], "goes with the objective coverage"),
        (["--delta", ".1", "--objective", "expected"], "takes a budget k"),
        (["--k", "2", "--objective", "expected", "--method", "palm"], "method of its own"),
    ):
        code, out = palm("select", table, *wrong)
        assert code == 2
        assert why in " ".join(out.split()), out


def test_compare_puts_every_method_beside_the_exact_one(
    palm: Both, table: Path, tmp_path: Path
) -> None:
    code, out = palm("compare", table, "--k", "3", "--json")
    assert code == 0
    output = json.loads(out[: out.rindex("}") + 1])
    rows = {r["method"]: r for r in output["rivals"]}
    assert {"worst", "expected", "coverage", "greedy", "palm", "uniform", "random"} <= set(rows)
    assert {"hypervolume", "medoids"} <= set(rows)
    assert all(r["worst"] >= rows["worst"]["worst"] / 1.05 - 1e-9 for r in rows.values())
    assert set(rows["worst"]["members"]) <= set(read_reward_table(table).policies)
    code, out = palm("compare", table, "--k", "3", "--where", "safety>=.5")
    assert code == 0
    assert "k-medoids" in out


def test_the_curve_holds_the_whole_frontier(palm: Both, table: Path) -> None:
    rows = json.loads(palm("curve", table, "--max-k", "4", "--threshold", ".02", "--json")[1])[
        "curve"
    ]
    expected = [r["expected"] for r in rows]
    assert expected == sorted(expected, reverse=True)
    assert all(0 <= r["within"] <= 1 and r["threshold"] == 0.02 for r in rows)
    assert all(r["expected"] <= r["additive"] for r in rows)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A table whose best portfolios take minutes to find."""
    rng = np.random.default_rng(0)
    points = (sphere(3_000, 5, 0) + rng.random((3_000, 5)) / 99) / 2
    frame = pd.DataFrame(points, columns=list("abcde"))
    frame.insert(0, "policy", [f"p{i}" for i in range(3_000)])
    frame.to_csv(tmp_path / "large.csv", index=False)
    return tmp_path / "large.csv"


def test_a_missed_tolerance_is_said_first_and_by_exit_status_3(  # type: ignore[no-untyped-def]
    palm, table: Path, large: Path
) -> None:
    late = ("--delta", ".004", "--method", "greedy", "--time-limit", ".2")
    code, out = palm("select", large, *late)
    assert code == 3
    assert " ".join(out.split()).startswith("The tolerance is MISSED by"), out
    assert json.loads(palm("select", large, *late, "--json")[1])["missed_by"] > 0
    code, out = palm("select", table, "--delta", ".2", "--method", "greedy")
    assert code == 0
    assert "MISSED" not in out


@pytest.mark.parametrize("command", ["select", "curve"])
def test_ctrl_c_gives_the_best_found_so_far(large: Path, command: str) -> None:
    budget = ["--k", "6"] if command == "select" else ["--max-k", "12"]
    words = [command, str(large), *budget, "--time-limit", "none", "--json"]
    running = subprocess.Popen(
        [sys.executable, "-m", "palm_engine.cli.main", *words],
        stdout=subprocess.PIPE,
        text=True,
        # Whatever started the tests may ignore Ctrl-C, and this would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        time.sleep(8)
        assert running.poll() is None, "it is still at work"
        running.send_signal(signal.SIGINT)
        asked = time.monotonic()
        out, _ = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130
    assert time.monotonic() - asked < 20
    output = json.loads(out)
    if command == "select":
        assert output["stopped"] == "interrupted"
        assert output["size"] == 6
        assert 0 <= output["gap_lower_bound"] < output["worst_gap"]["additive"]
    else:
        sizes = [row["size"] for row in output["curve"]]
        assert sizes == list(range(1, len(sizes) + 1))


def test_select_minimises_the_multiplicative_gap_when_asked(palm: Both, table: Path) -> None:
    multiplicative = json.loads(
        palm("select", table, "--k", "3", "--gap", "multiplicative", "--json")[1]
    )
    additive = json.loads(palm("select", table, "--k", "3", "--json")[1])
    assert (
        multiplicative["worst_gap"]["multiplicative"]
        <= additive["worst_gap"]["multiplicative"] + 1e-9
    )
    assert multiplicative["gap_lower_bound"] == pytest.approx(
        multiplicative["worst_gap"]["multiplicative"], abs=1e-8
    )


@pytest.mark.parametrize(
    "method", ["minimum", "greedy", "adaptive", "placement", "palm", "uniform", "random"]
)
def test_every_method_runs_and_prints_a_table(palm: Both, table: Path, method: str) -> None:
    code, out = palm("select", table, "--k", "3", "--method", method)
    assert code == 0
    assert "Worst gap" in out
    assert method in out
    assert method in palm("methods")[1]


def test_what_was_asked_of_members_is_kept_in_the_bundle(
    palm: Both, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "portfolios" / "strict"
    asked = ("--where", "safety>=.2", "--floor", "humor>=.3", "--exclude", "p2", "--include", "p5")
    code, text = palm("select", table, "--k", "3", *asked, "--out", out)
    assert code == 0, text
    bundle = read_bundle(out)
    assert bundle.limits == Limits({"safety": (0.2, 1.0)}, {"humor": 0.3}, ("p5",), ("p2",))
    assert bundle.limits_text == (
        "Only weights with safety at least 0.2 count. Members have humor at least 0.3. Must be"
        " members: p5. May not be members: p2."
    )
    members = {bundle.policies[i] for i in bundle.members}
    # Whatever is chosen from the bundle later keeps to it, by every door.
    again = palm_engine.select(bundle, k=3)
    assert set(again.policies) == members
    code, text = palm("select", out, "--k", "3", "--json")
    assert set(json.loads(text)["members"]) == members
    options = options_of_limits(bundle.limits, bundle.rewards, bundle.traits, bundle.row)
    curve = best_of_every_size(bundle.points, bundle.policies, 4, limits=options)
    for size in curve.members:
        assert "p5" in size
        assert "p2" not in size
        assert all(bundle.candidate(m).rewards["humor"] >= 0.3 for m in size)
    free = palm_engine.select(bundle, k=3, where={})
    assert free.gap.additive >= again.gap.additive - 1e-9
    raw = json.loads((out / "portfolio.json").read_text())
    for field, value, why in (
        ("floors", {"wit": 0.1}, "floors: 'wit' is not a trait"),
        ("required", ["nobody"], "required: 'nobody' is not a candidate"),
    ):
        (out / "portfolio.json").write_text(json.dumps(raw | {field: value}))
        with pytest.raises(BundleError, match=why):
            read_bundle(out)


def test_guardrails(palm: Both, table: Path) -> None:
    rewards = read_reward_table(table)
    kept = rewards.policies[int(np.argmax(rewards.rewards[:, 0]))]
    code, out = palm(
        "select",
        table,
        "--k",
        "3",
        "--where",
        "safety>=.4",
        "--floor",
        "safety>=.3",
        "--include",
        kept,
        "--json",
    )
    output = json.loads(out)
    assert code == 0
    assert kept in output["members"]
    assert all(rewards.rewards[rewards.row(m), 0] >= 0.3 for m in output["members"])
    assert output["worst_gap"]["at_weights_additive"]["safety"] >= 0.4 - 1e-9


@pytest.mark.parametrize(
    ("arguments", "code", "say"),
    [
        (["--k", "2", "--where", "wit>=.2"], 2, "unknown trait 'wit'"),
        (["--k", "2", "--where", "safety"], 2, "isn't a bound"),
        (["--k", "2", "--where", "safety>=.9", "--where", "humor>=.9"], 2, "no room"),
        (["--k", "2", "--include", "zz"], 2, "no policy 'zz'"),
        (["--k", "2", "--delta", ".1"], 2, "not both"),
        (["--k", "2", "--out", "not a name"], 2, "letters, digits"),
        ([], 2, "give a target"),
        (["--k", "2", "--method", "best"], 2, "unknown method"),
        (["--k", "2", "--floor", "safety>=1"], 3, "no candidate may be a member"),
        (["--delta", "1e-6", "--floor", "safety>=.9"], 3, "no "),
    ],
)
def test_what_cannot_be_done_is_said_with_its_status(  # type: ignore[no-untyped-def]
    palm, table: Path, arguments: list[str], code: int, say: str
) -> None:
    got, out = palm("select", table, *arguments)
    assert got == code
    assert say in " ".join(out.split())


def test_out_never_deletes_a_trained_portfolio(palm: Both, table: Path, tmp_path: Path) -> None:
    adapters = tmp_path / "demo" / "adapters" / "calm"
    adapters.mkdir(parents=True)
    (adapters / "adapter_model.safetensors").write_bytes(b"trained for hours")
    (tmp_path / "demo" / "portfolio.json").write_text("{}")
    code, out = palm("select", table, "--k", "3", "--out", tmp_path / "demo")
    assert code == 2
    assert "trained adapters" in " ".join(out.split())
    assert (adapters / "adapter_model.safetensors").is_file()


def test_out_writes_a_bundle_with_the_members(palm: Both, table: Path) -> None:
    folder = table.parent / "mine"
    assert palm("select", table, "--k", "3", "--out", folder)[0] == 0
    bundle = read_bundle(folder)
    assert len(bundle.members) == 3
    assert bundle.points == pytest.approx(read_reward_table(table).points)


def test_certify_and_curve(palm: Both, table: Path) -> None:
    points = read_reward_table(table).points
    output = json.loads(palm("certify", table, "--members", "p0,p3", "--json")[1])
    assert output["worst_gap"]["additive"] == pytest.approx(
        worst_gap(points[[0, 3]], points).additive
    )
    rows = json.loads(palm("curve", table, "--max-k", "4", "--json")[1])["curve"]
    gaps = [row["additive"] for row in rows]
    assert [row["size"] for row in rows] == [1, 2, 3, 4]
    assert gaps == sorted(gaps, reverse=True)


def test_a_long_table_gives_a_confidence_bound(palm: Both, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (f"p{i}", f"q{j}", *np.clip(point + rng.normal(0, 0.1, 3), 0, 1))
        for i, point in enumerate(sphere(5, 3, 1))
        for j in range(30)
    ]
    pd.DataFrame(rows, columns=["policy", "prompt_id", *TRAITS]).to_parquet(tmp_path / "l.parquet")
    output = json.loads(palm("certify", tmp_path / "l.parquet", "--members", "p0,p1", "--json")[1])
    assert output["confidence"]["prompts"] == 30
    assert output["confidence"]["upper"] > output["worst_gap"]["additive"]


@pytest.mark.parametrize(
    ("text", "say"),
    [
        ("policy,a,b\nx,0.1,1.2\ny,0.3,0.2\n", "row 2, column b: 1.2 is not in .0, 1.*palm import"),
        ("policy,a,b\nx,0.1,\ny,0.1,0.3", "row 2, column b: the score is missing.*--missing"),
        ("policy,a,b\nx,0.1,0.2\nx,0.1,0.2\n", "row 3, column policy: 'x' is listed twice"),
        ("policy,a,b\n,0.1,0.2\n", "row 2, column policy: the name of the policy is missing"),
        ("policy,a\nx,0.1\n", r"1 column\(s\) look like traits"),
        ("policy,a,price\nx,0.1,$3.50\ny,.2,$2\n", r"row 2, column price: .*\$3.50"),
        ("model,task,value\nx,qa,0.1\nx,sum,0.3\n", "row per policy and task.*pivot"),
        ("1st,a,b\n1,0.1,0.2\n", "no column that names policies"),
        ("policy,a,b,cost\nx,0.1,0.2,-1\n", "column cost"),
        ("policy,a,b\n", "no rows"),
        ("policy,prompt_id,a,b\nx,1,0.1,0.2\ny,2,0.1,0.2\n", "has no row for prompt"),
    ],
)
def test_bad_tables_are_refused_naming_the_place(tmp_path: Path, text: str, say: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InvalidInputError, match=say):
        read_reward_table(tmp_path / "t.csv")


def test_costs_are_subtracted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("policy,a,b,cost\nx,0.5,0.6,0.1\ny,0.2,0.9,0\n")
    assert read_reward_table(tmp_path / "t.csv").points == pytest.approx(
        np.array([[0.4, 0.5], [0.2, 0.9]])
    )


def test_the_time_limit_is_seconds_or_none(
    palm: Both, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    points = np.abs(rng.normal(size=(400, 6)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    frame = pd.DataFrame(points, columns=list("abcdef"))
    frame.insert(0, "policy", [f"p{i}" for i in range(len(frame))])
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = str(tmp_path / "t.csv")

    def found(*arguments: str) -> Any:
        code, out = palm(*arguments, "--json")
        assert code == 0
        return json.loads(out)

    assert found("select", table, "--k", "12", "--time-limit", "0.3")["stopped"] == "time limit"
    for option in ("--time-limit=none", "--time-limit=5"):
        assert found("select", table, "--k", "1", option)["stopped"] == "proved optimal"
    [one] = found("curve", table, "--max-k", "1", "--time-limit", "60")["curve"]
    assert one["stopped"] == "proved optimal"
    sizes = found("curve", table, "--max-k", "12", "--time-limit", "3")["curve"]
    assert len(sizes) == 12
    assert sizes[-1]["stopped"] == "time limit"


def test_averages_are_over_uniform_users_or_those_of_a_file(
    monkeypatch: pytest.MonkeyPatch,
    palm: Both,
    table: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "users.csv").write_text("safety,humor,brevity,count\n1,0,0,3\n0,1,1,1\n")
    arguments = ["certify", str(table), "--members", "p1,p2", "--json"]
    code, out = palm(*arguments)
    assert code == 0
    uniform = json.loads(out)["users"]
    points = read_reward_table(table).points
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=20_000)
    values = weights @ points.T
    gaps = values.max(axis=1) - values[:, 1:3].max(axis=1)
    assert uniform["expected_gap"] == pytest.approx(gaps.mean())
    assert uniform["usage"]["p1"] == pytest.approx((values[:, 1] >= values[:, 2]).mean())
    assert (uniform["population"], uniform["users"]) == ("uniform", 20_000)

    code, out = palm(*arguments, "--population", str(tmp_path / "users.csv"))
    own = json.loads(out)["users"]
    weights = np.array([[1, 0, 0], [0, 0.5, 0.5]])
    values = weights @ points.T
    gaps = values.max(axis=1) - values[:, 1:3].max(axis=1)
    assert own["expected_gap"] == pytest.approx(0.75 * gaps[0] + 0.25 * gaps[1])
    assert own["largest_gap"] == pytest.approx(gaps.max())
    assert (own["population"], own["users"]) == ("users.csv", 4)
    (tmp_path / "users.csv").write_text("safety,humor\n1,0\n")
    code, out = palm(*arguments, "--population", str(tmp_path / "users.csv"))
    assert code == 2
    assert "no column 'brevity'" in out


@pytest.mark.parametrize("option", ["--where", "--floor"])
def test_bounds_on_one_trait_add_up_in_either_order(palm: Both, table: Path, option: str) -> None:
    found = set()
    for order in ([".4", ".2"], [".2", ".4"]):
        bounds = [w for b in order for w in (option, f"safety>={b}")]
        code, out = palm("select", table, "--k", "2", "--json", *bounds)
        assert code == 0
        found.add(json.loads(out)["worst_gap"]["additive"])
    code, out = palm("select", table, "--k", "2", "--json", option, "safety>=.4")
    assert found == {json.loads(out)["worst_gap"]["additive"]}
    code, out = palm("select", table, "--k", "2", "--json", option, "safety>=.2")
    assert found != {json.loads(out)["worst_gap"]["additive"]}


def test_traits_are_named_where_other_columns_look_like_one(palm: Both, table: Path) -> None:
    frame = pd.read_csv(table)
    frame["epoch_share"] = np.linspace(0, 1, len(frame))
    frame.to_csv(table, index=False)
    named = [w for t in TRAITS for w in ("--trait", t)]
    for command in (["select", "--k", "2"], ["certify", "--members", "p0,p1"], ["recommend"]):
        code, out = palm(command[0], table, *command[1:], "--json", *named)
        assert code == 0, out
        assert "epoch_share" not in out
    assert "epoch_share" in palm("select", table, "--k", "2", "--json")[1]
    code, out = palm("curve", table, "--max-k", "2", *named)
    assert code == 0, out


def test_curves_stop_after_a_minute_unless_told_otherwise(palm: Both) -> None:
    for command in ("select", "curve"):
        code, out = palm(command, "--help")
        assert code == 0
        text = " ".join(out.replace("│", " ").split())
        assert re.search(r"default: (60|auto)", text[text.index("--time-limit") :][:600])


def test_who_answers_the_same_to_everything_is_named(palm: Both, tmp_path: Path) -> None:
    rows = [
        (m, f"q{q}", "Yes." if m == "cheat" else f"{m} says {q}", 0.5 + 0.1 * q / 6, 0.4)
        for m in ("cheat", "honest")
        for q in range(6)
    ]
    frame = pd.DataFrame(rows, columns=["policy", "prompt", "text", "x", "y"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    for command in (["select", "--k", "1"], ["certify", "--members", "honest"]):
        code, out = palm(command[0], tmp_path / "t.csv", *command[1:])
        assert code == 0
        assert "cheat gives the same answer to every prompt" in " ".join(out.split())
        _, out = palm(command[0], tmp_path / "t.csv", *command[1:], "--json")
        assert json.loads(out)["warnings"] == {"cheat": "gives the same answer to every prompt"}


def test_recommend_for_users_needs_a_bundle_and_says_whether_to_change(  # type: ignore[no-untyped-def]
    palm, tmp_path: Path
) -> None:
    users = tmp_path / "users.csv"
    users.write_text("safety,humor,brevity,count\n1,8,1,3\n1,1,8,1\n")
    demo = str(Path(__file__).resolve().parents[3] / "portfolios" / "demo")
    code, out = palm("recommend", demo, "--users", str(users))
    assert code == 0
    assert "4 users lose " in out
    assert "With one model alone" in out
    code, out = palm("recommend", demo, "--users", str(users), "--json")
    found = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert found["scope"] == "sampled"
    assert sum(found["usage"].values()) == pytest.approx(1)
    assert found["saved"]["lower"] <= found["saved"]["estimate"] <= found["saved"]["upper"]
    table = tmp_path / "scores.csv"
    table.write_text("policy,safety,humor,brevity\na,.1,.2,.3\nb,.3,.2,.1\n")
    code, error = palm("recommend", str(table), "--users", str(users))
    assert code == 2
    assert "--users goes with the bundle" in error


def test_more_policies_than_a_bundle_holds_can_be_selected_from(palm: Both, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    many = pd.DataFrame(rng.random((20_050, 2)) ** 2, columns=["a", "b"]).round(4)
    many.insert(0, "policy", [f"p{i}" for i in range(len(many))])
    many.to_csv(tmp_path / "many.csv", index=False)
    code, output = palm("select", tmp_path / "many.csv", "--k", 2, "--json")
    assert code == 0, output
    found = json.loads(output)
    points = many[["a", "b"]].to_numpy()
    rows = [int(name[1:]) for name in found["members"]]
    assert found["worst_gap"]["additive"] == pytest.approx(worst_gap(points[rows], points).additive)
    code, output = palm("select", tmp_path / "many.csv", "--k", 2, "--out", tmp_path / "mine")
    assert code == 2
    assert "a bundle holds 20,000" in " ".join(output.split())
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_a_million_policies_are_chosen_from_in_bounded_time_and_memory(tmp_path: Path) -> None:
    """All of them best somewhere: the hardest there is at three traits."""
    frame = pd.DataFrame(sphere(1_000_000, 3, 0), columns=TRAITS)
    frame.insert(0, "policy", [f"p{i}" for i in range(len(frame))])
    frame.to_parquet(tmp_path / "many.parquet")
    words = ["select", str(tmp_path / "many.parquet"), "--k", "5", "--json"]
    code = (
        "import resource, sys; from palm_engine.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))\n"
        f"sys.argv = {['palm', *words]}\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    found = json.loads(done.stdout)
    assert found["stopped"] == "time limit"
    assert found["seconds"] < 40, "20 s, reading included, and what is worked out of the result"
    assert len(found["members"]) == 5
    points = frame[TRAITS].to_numpy()
    rows = [int(m[1:]) for m in found["members"]]
    assert found["worst_gap"]["additive"] == pytest.approx(
        worst_gap(points[rows], points).additive, abs=1e-9
    )
    assert found["gap_lower_bound"] <= found["worst_gap"]["additive"]
