"""Utilities that aren't linear: worst losses against dense samples, members against brute force."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from palm_engine.cli.main import app
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.envelope import best_somewhere
from palm_engine.geometry.region import Region
from palm_engine.geometry.simplex import grid, sample_uniform
from palm_engine.geometry.utilities import AtLeast, Chebyshev, PMean, Utility
from palm_engine.selection.by_utility import best_for, candidates_never_linear
from palm_engine.selection.options import Options


def plainly(utility: Utility, u: np.ndarray, w: np.ndarray) -> float:
    """The utility of one policy for one user, as it is defined."""
    if isinstance(utility, PMean):
        if utility.p == 0:
            return float(np.prod(u**w))
        return float((w * u**utility.p).sum() ** (1 / utility.p))
    if isinstance(utility, AtLeast):
        return float(
            w @ u
            - utility.price * sum(max(t - x, 0) for t, x in zip(utility.least, u, strict=True))
        )
    assert isinstance(utility, Chebyshev)
    return -float(max(x * (z - y) for x, z, y in zip(w, utility.ideal, u, strict=True)))


def of(kind: str, points: np.ndarray) -> Utility:
    if kind == "chebyshev":
        return Chebyshev.of(points)
    if kind == "at least":
        return AtLeast((0.6, -np.inf, 0.3)[: points.shape[1]])
    return PMean(float(kind))


KINDS = st.sampled_from(["0", "0.3", "1", "2.5", "at least", "chebyshev"])


def loss(utility: Utility, values: np.ndarray, members: list[int]) -> np.ndarray:
    best = values.max(axis=1)
    lost = best - values[:, members].max(axis=1)
    return np.asarray(lost / best if isinstance(utility, PMean) else lost)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), KINDS, st.integers(2, 3))
def test_no_user_loses_more_than_the_worst_loss(seed: int, kind: str, d: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.random((9, d)) * 0.9 + 0.05
    utility = of(kind, points)
    weights = np.vstack([sample_uniform(d, 2000, rng), grid(d, 20)])
    values = utility.values(points, weights)
    some = rng.integers(0, len(weights), 5)
    for i, j in zip(some, rng.integers(0, 9, 5), strict=True):
        assert values[i, j] == pytest.approx(plainly(utility, points[j], weights[i]), abs=1e-9)
    members = [0, 4]
    found = utility.worst(points[members], points, None)
    seen = float(loss(utility, values, members).max())
    assert seen <= found.upper + 1e-9
    at = utility.values(points, found.at[None])
    assert loss(utility, at, members)[0] == pytest.approx(found.loss, abs=1e-7)
    # Nearly met: what is said to be worst isn't far above what was seen.
    assert found.upper <= seen + (0.05 if kind == "chebyshev" else 0.15)
    assert (found.scope == "candidates") == (kind != "chebyshev")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), KINDS, st.booleans())
def test_the_best_k_are_the_best_of_all(seed: int, kind: str, required: bool) -> None:
    rng = np.random.default_rng(seed)
    points = rng.random((7, 3)) * 0.9 + 0.05
    utility = of(kind, points)
    options = Options(include=(5,) if required else ())
    found = best_for(utility, points, 2, options)
    assert len(found.members) <= 2
    assert set(options.include) <= set(found.members)
    every = [
        utility.worst(points[list(c)], points, None)
        for c in combinations(range(7), 2)
        if set(options.include) <= set(c)
    ]
    assert found.lower_bound <= min(w.upper for w in every) + 1e-9
    best = min(w.loss for w in every)
    slack = 0.03 if kind == "chebyshev" else 1e-6
    assert found.worst.loss <= best + slack


def test_chebyshev_makes_policies_best_that_no_linear_weights_do() -> None:
    points = np.array([[1.0, 0.0], [0.0, 1.0], [0.45, 0.45], [0.2, 0.2]])
    linear = best_somewhere(points, None)
    assert linear.tolist() == [True, True, False, False]
    assert candidates_never_linear(Chebyshev.of(points), points) == [2]
    assert candidates_never_linear(PMean(1.0), points) == []
    kind = np.array([[1, 0.1], [0.8, 0.8], [0.2, 1.0]])
    bounded = Region(np.array([0.7, 0.0]), np.array([1.0, 1.0]))
    assert candidates_never_linear(PMean(1.0), kind, bounded) == []
    # Who wants both alike loses much by the linear best two, nothing by three.
    two = Chebyshev.of(points).worst(points[:2], points, None)
    assert two.loss > 0.2
    assert best_for(Chebyshev.of(points), points, 3).worst.loss == pytest.approx(0, abs=1e-9)


def test_a_finer_lattice_has_a_tighter_bound_that_holds() -> None:
    points = np.random.default_rng(3).random((8, 3))
    utility = Chebyshev.of(points)
    fine = utility.values(points, grid(3, 400))
    worst = float((fine.max(axis=1) - fine[:, [0, 1]].max(axis=1)).max())
    for steps in (5, 10, 40, 160):
        coarse = utility.values(points, grid(3, steps))
        seen = float((coarse.max(axis=1) - coarse[:, [0, 1]].max(axis=1)).max())
        assert seen <= worst + 1e-12
        assert worst <= seen + utility.between(points, steps) + 1e-12


def test_what_a_utility_is_not_defined_for_is_refused() -> None:
    points = np.array([[0.5, 0.0], [0.2, 0.6]])
    with pytest.raises(InvalidInputError, match="needs rewards above 0, found 0"):
        PMean(0).worst(points, points, None)
    with pytest.raises(InvalidInputError, match=r"at least 0, found -0\.1"):
        PMean(0.5).worst(points - 0.1, points, None)
    with pytest.raises(InvalidInputError, match="p from 0 to 20"):
        PMean(-1)
    with pytest.raises(InvalidInputError, match="can't be told from 0"):
        PMean(1e-9)
    small = np.random.default_rng(0).random((6, 3)) * 0.01 + 0.01
    for p in (0.0, 0.5, 10.0, 20.0):
        large = PMean(p).worst(50 * small[:2], 50 * small, None)
        assert PMean(p).worst(small[:2], small, None).loss == pytest.approx(large.loss, abs=1e-9)
    region = Region(np.array([0.2, 0.0]), np.array([1.0, 1.0]))
    with pytest.raises(InvalidInputError, match="over all weights"):
        Chebyshev.of(points).worst(points, points, region)
    bounded = PMean(0.5).worst(points[:1], points, region)
    assert bounded.loss < PMean(0.5).worst(points[:1], points, None).loss


def test_the_command_says_what_is_exact_and_what_is_bounded(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("policy,a,b\nleft,1,.05\nright,.05,1\nboth,.45,.45\nbad,.2,.2\n")

    def run(*arguments: object) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["utility", str(table), *map(str, arguments), "--json"])
        assert done.exit_code == 0, done.output + str(done.exception)
        found: dict[str, Any] = json.loads(done.output)
        return found

    points = np.array([[1, 0.05], [0.05, 1], [0.45, 0.45], [0.2, 0.2]])
    far = run("--chebyshev", "--members", "left,right")
    expected = Chebyshev.of(points).worst(points[:2], points, None)
    assert far["loss"] == pytest.approx(expected.loss)
    assert far["upper"] == pytest.approx(expected.upper)
    assert (far["scope"], far["lower_bound"]) == ("sampled", None)
    assert far["best_for_no_linear_weights"] == ["both"]
    three = run("--chebyshev", "--k", 3)
    assert sorted(three["members"]) == ["both", "left", "right"]
    mean = run("--mean", 0, "--k", 2)
    assert (mean["scope"], mean["unit"]) == ("candidates", "share")
    assert mean["loss"] == mean["upper"] >= mean["lower_bound"]
    most = run("--at-least", "a>=.4", "--at-least", "b>=.4", "--k", 1)
    assert most["members"] == ["both"], "the others miss a requirement"
    assert most["loss"] == pytest.approx(0, abs=1e-9)
    arguments = ["utility", str(table), "--chebyshev", "--members", "left,right"]
    words = " ".join(CliRunner().invoke(app, arguments).output.split())
    assert "nobody more than" in words
    assert "for no linear weights: 1 of 4 candidates (both)" in words


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--k", "2"], "give one utility"),
        (["--mean", "1", "--chebyshev", "--k", "2"], "give one utility"),
        (["--mean", "1"], "give --k to choose"),
        (["--mean", "1", "--k", "2", "--members", "left"], "give --k to choose"),
        (["--mean", "-1", "--k", "2"], "p from 0 to 20"),
        (["--mean", "nan", "--k", "2"], "p from 0 to 20"),
        (["--at-least", "c>=.4", "--k", "2"], "unknown trait 'c'"),
        (["--at-least", "a<=.4", "--k", "2"], "write TRAIT>=NUMBER"),
        (["--chebyshev", "--k", "2", "--where", "a>=.5"], "over all weights"),
    ],
)
def test_a_wrong_utility_is_one_sentence(tmp_path: Path, arguments: list[str], why: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text("policy,a,b\nleft,1,0\nright,0,1\n")
    done = CliRunner().invoke(app, ["utility", str(table), *arguments])
    assert isinstance(done.exception, InvalidInputError), done.output
    assert why in str(done.exception)
