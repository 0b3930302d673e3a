"""Rivals at equal size, measured by independent means."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from palm_engine.analysis import equal_size as module
from palm_engine.analysis.equal_size import at_equal_size
from palm_engine.errors import DependencyError
from palm_engine.geometry.fields import population
from palm_engine.geometry.gap import worst_additive_gap
from palm_engine.geometry.users import uniform_users
from palm_engine.selection.options import Options
from palm_engine.selection.result import Target
from palm_engine.selection.subsets import hypervolume, medoids, volume_of
from tests.support.bundles import sphere


def sampled_volume(points: np.ndarray, reference: np.ndarray) -> float:
    """The dominated share of the box above the reference, by drawing."""
    drawn = np.random.default_rng(0).uniform(reference, 1.0, (200_000, points.shape[1]))
    inside = np.zeros(len(drawn), dtype=bool)
    for p in points:
        inside |= (drawn <= p).all(axis=1)
    return float(inside.mean() * np.prod(1.0 - reference))


@pytest.mark.parametrize("d", [2, 3, 5])
def test_volumes_are_those_of_drawn_points(d: int) -> None:
    points = sphere(6, d, d)
    reference = np.full(d, -0.1)
    assert volume_of(points, reference) == pytest.approx(
        sampled_volume(points, reference), rel=0.03
    )
    assert volume_of(points, np.ones(d)) == 0.0


def test_the_greedy_subset_has_most_of_the_largest_volume() -> None:
    points = sphere(12, 3, 5)
    reference = points.min(axis=0) - 1e-9
    best = max(volume_of(points[list(c)], reference) for c in combinations(range(12), 3))
    found = hypervolume(points, Target(k=3))
    assert volume_of(found.points, reference) >= (1 - 1 / np.e) * best


def test_medoids_are_nearest_of_all() -> None:
    points = np.random.default_rng(2).random((11, 4))

    def distance(rows: tuple[int, ...]) -> float:
        return float(
            np.linalg.norm(points[:, None] - points[list(rows)], axis=2).min(axis=1).mean()
        )

    best = min(distance(c) for c in combinations(range(11), 3))
    assert distance(medoids(points, Target(k=3)).members) == pytest.approx(best)


def test_every_rival_is_measured_alike_and_each_wins_where_it_should() -> None:
    points = sphere(14, 3, 3)
    users = uniform_users(population(3, 3_000))
    shares: list[float] = []
    found = {
        r.label.split(",")[0]: r
        for r in at_equal_size(
            points, 3, users, tolerance=0.04, report=lambda s, _: shares.append(s)
        )
    }
    assert len(found) == 9
    assert shares == sorted(shares)
    for name, r in found.items():
        assert 0 < r.volume <= 1  # type: ignore[operator]
        assert 1 - 1e-9 <= r.perplexity <= 3 + 1e-9
        if name == "random weights":
            continue
        rows = list(r.members)
        values = users.weights @ points.T
        gaps = values.max(axis=1) - values[:, rows].max(axis=1)
        assert r.worst == pytest.approx(worst_additive_gap(points[rows], points))
        assert r.expected == pytest.approx(gaps.mean())
        assert r.within == pytest.approx((gaps <= 0.04).mean())
        pairs = [np.linalg.norm(points[a] - points[b]) for a, b in combinations(rows, 2)]
        assert r.diversity == pytest.approx(np.mean(pairs) if pairs else 0.0)
    others = [r for r in found.values() if len(r.members) == 3]
    assert found["exact best"].worst <= 1.05 * min(r.worst for r in others) + 1e-9
    assert found["least expected gap"].expected == min(r.expected for r in found.values())
    assert found["most users served"].within == max(r.within for r in found.values())


def test_without_the_extra_volumes_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> float:
        raise DependencyError("not there")

    monkeypatch.setattr(module, "volume_of", missing)
    monkeypatch.setattr("palm_engine.selection.subsets.volume_of", missing)
    found = at_equal_size(sphere(8, 3, 0), 2, options=Options(exclude=(0,)))
    assert "hypervolume" not in {r.method for r in found}
    assert {r.volume for r in found} == {None}
    assert all(0 not in r.members for r in found)
