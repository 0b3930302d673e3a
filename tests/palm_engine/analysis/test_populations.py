"""Users: read and refused by row and column; how they are served, against the definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from palm_engine.analysis.populations import (
    read_users,
    sample_table,
    serve,
    who,
    within,
)
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.fields import population
from palm_engine.geometry.users import Users, uniform_users
from palm_engine.tables.files import read_table_file
from tests.support.bundles import sphere


def read(folder: Path, text: str, name: str = "users.csv") -> Users:
    (folder / name).write_text(text, encoding="utf-8")
    return read_users(read_table_file(folder / name), ["a", "b"])


def test_users_are_read_and_scaled(tmp_path: Path) -> None:
    users = read(tmp_path, "b,a,note\n1,3,x\n0,2,y\n")
    assert users.weights.tolist() == [[0.75, 0.25], [1.0, 0.0]]
    assert users.counts.tolist() == [1, 1]
    assert users.segments == ()


def test_an_outline_holds_what_lies_inside_it() -> None:
    places = np.random.default_rng(0).random((400, 2))
    box = np.array([[0.2, 0.3], [0.7, 0.3], [0.7, 0.9], [0.2, 0.9]])
    inside = (
        (places[:, 0] > 0.2) & (places[:, 0] < 0.7) & (places[:, 1] > 0.3) & (places[:, 1] < 0.9)
    )
    assert within(places, [box]).tolist() == np.flatnonzero(inside).tolist()
    # A loop that bends inwards, against a slow reference: the winding of the angle.
    loop = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.5, 0.3], [0.1, 0.9]])
    found = set(within(places, [loop]).tolist())
    for row, place in enumerate(places):
        rays = loop - place
        angles = np.arctan2(rays[:, 1], rays[:, 0])
        turns = (np.diff(np.append(angles, angles[0])) + np.pi) % (2 * np.pi) - np.pi
        assert (row in found) == (abs(turns.sum()) > np.pi)
    both = within(places, [box, loop])
    assert set(both.tolist()) == set(np.flatnonzero(inside).tolist()) | found
    assert len(within(places, [])) == 0


def test_who_some_users_are_counts_them() -> None:
    weights = np.array([[1.0, 0], [0, 1.0], [0.5, 0.5]])
    users = Users(weights, np.array([1.0, 3.0, 4.0]), ("x", "y", "x"))
    mean, parts = who(users, np.array([0, 1]))
    assert mean == pytest.approx([0.25, 0.75])
    assert parts == (("y", 0.75), ("x", 0.25))
    assert who(uniform_users(weights), np.array([2]))[1] == ()


def test_counts_segments_separators_and_decimal_commas_are_understood(tmp_path: Path) -> None:
    users = read(tmp_path, "A;B;Count;Segment\n0,5;0,5;1200;support\n0,25;0,75;300;sales\n")
    assert users.weights.tolist() == [[0.5, 0.5], [0.25, 0.75]]
    assert users.counts.tolist() == [1200, 300]
    assert users.segments == ("support", "sales")
    assert users.total == 1500


def test_a_trait_is_no_count_and_an_id_no_segment(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("N,b\n30,70\n60,40\n")
    users = read_users(read_table_file(tmp_path / "users.csv"), ["N", "b"])
    assert users.counts.tolist() == [1, 1]
    rows = "".join(f"1,1,user-{i}\n" for i in range(150))
    with pytest.raises(InvalidInputError, match="150 different segments"):
        read(tmp_path, "a,b,team\n" + rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,x\n1,2\n", "no column 'b'"),
        ("a,b\n", "no rows"),
        ("a,b\n1,1\n1,x\n", "row 3, column b: 'x'"),
        ("a,b\n1,-1\n", "row 2, column b: '-1'"),
        ("a,b\n0,0\n", "row 2: all weights are 0"),
        ("a,b,count\n1,1,0\n", "row 2, column count"),
        ("a,b\n1,1\n1e308,1e308\n", "row 3: weights or counts are too large"),
        ("a,b,count\n1,1,1e308\n1,1,1e308\n", "row 2: weights or counts are too large"),
    ],
)
def test_a_wrong_table_of_users_is_refused_by_row_and_column(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=r"users.csv") as refused:
        read(tmp_path, text)
    assert message in str(refused.value)


def test_the_sample_file_is_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text(sample_table(["safety", "humor", "brevity"]))
    users = read_users(read_table_file(tmp_path / "users.csv"), ["safety", "humor", "brevity"])
    assert len(set(users.segments)) == 3
    assert users.total > len(users.weights)


@pytest.mark.parametrize("seed", range(3))
def test_a_portfolio_serves_each_user_as_the_definition_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = sphere(9, 3, seed)
    rows = [1, 4, 6]
    counts = rng.integers(1, 9, 60).astype(float)
    segments = tuple(rng.choice(["x", "y"], 60).tolist())
    users = Users(rng.dirichlet(np.ones(3), 60), counts, segments)
    found = serve(points[rows], points, users, 0.05)
    # One user per count, one after the other.
    gaps = []
    member = []
    for w, n in zip(users.weights, counts, strict=True):
        values = points @ w
        gaps += [values.max() - values[rows].max()] * int(n)
        member += [int(values[rows].argmax())] * int(n)
    everybody = found.everybody
    assert everybody.users == len(gaps)
    assert everybody.expected == pytest.approx(np.mean(gaps))
    assert everybody.worst == pytest.approx(max(gaps))
    assert everybody.within == pytest.approx(np.mean(np.array(gaps) <= 0.05))
    np.testing.assert_allclose(everybody.shares, np.bincount(member, minlength=3) / len(member))
    assert {s.segment for s in found.segments} == {"x", "y"}
    assert sum(s.users for s in found.segments) == everybody.users
    mean = sum(s.users * s.expected for s in found.segments) / everybody.users
    assert mean == pytest.approx(everybody.expected)
    some = [3, 5, 8]
    part = serve(points[rows], points, users, 0.05, some)
    assert part.everybody.users == counts[some].sum()
    np.testing.assert_allclose(part.gaps, found.gaps[some])


def test_drawn_users_count_one_each() -> None:
    users = uniform_users(population(4, count=50))
    assert users.total == 50
    assert users.segments == ()
