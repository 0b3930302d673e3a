"""Gaps on restricted polytopes against linear programs, one a candidate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.gap import worst_additive_gap
from palm_engine.geometry.region import Region


def _by_programs(p: np.ndarray, q: np.ndarray, region: Region) -> float:
    d = p.shape[1]
    worst = -np.inf
    for u in q:  # max over w of w·u - t with t >= w·p_i
        solved = linprog(
            np.r_[-u, 1.0],
            A_ub=np.hstack([p, -np.ones((len(p), 1))]),
            b_ub=np.zeros(len(p)),
            A_eq=np.r_[np.ones(d), 0.0][None],
            b_eq=[1.0],
            bounds=[*zip(region.lower, region.upper, strict=True), (None, None)],
        )
        assert solved.fun is not None
        worst = max(worst, -float(solved.fun))
    return worst


def _region(rng: np.random.Generator, d: int) -> Region:
    centre = rng.dirichlet(np.ones(d) * 3)
    return Region(
        np.maximum(centre - rng.uniform(0.02, 0.5, d), 0),
        np.minimum(centre + rng.uniform(0.02, 0.5, d), 1),
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_the_worst_gap_on_a_region_is_that_of_the_programs(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    region = _region(rng, d)
    p = rng.random((3, d))
    q = rng.random((6, d))
    assert worst_additive_gap(p, q, region) == pytest.approx(_by_programs(p, q, region), abs=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
@example(3838, 3)  # a triangle that isn't a smaller copy of the simplex
def test_samples_and_corners_lie_inside(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    region = _region(rng, d)
    for w in (region.corners(), region.sample(200, rng), region.centre()[None]):
        assert region.contains(w, 1e-7).all()
        assert w.sum(axis=1) == pytest.approx(1)


def test_samples_are_uniform_by_volume() -> None:
    # w_1 <= .5 and w_2 <= .5 leave a rhomb; its half with w_1 <= .25 holds half of it.
    region = Region(np.zeros(3), np.array([0.5, 0.5, 1.0]))
    drawn = region.sample(20_000, np.random.default_rng(0))
    assert (drawn[:, 0] <= 0.25).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("d", [3, 5, 8])
def test_rejection_and_cells_draw_from_the_same_distribution(d: int) -> None:
    rng = np.random.default_rng(1)
    upper = np.full(d, 1.0)
    upper[:2] = (0.2, 0.5)
    region = Region(np.full(d, 0.01), upper)
    drawn = region.sample(20_000, rng)
    assert len(drawn) == 20_000
    assert region.contains(drawn).all()
    if d < 8:  # cutting eight dimensions into cells takes half a minute
        cells = region._sample_cells(20_000, rng)
        assert drawn.mean(axis=0) == pytest.approx(cells.mean(axis=0), abs=0.005)
        assert drawn.std(axis=0) == pytest.approx(cells.std(axis=0), abs=0.005)


def test_a_region_that_rejection_rarely_hits_is_cut_into_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Six upper bounds that all but fix the weights: one draw in three thousand is inside.
    region = Region(np.zeros(6), np.full(6, 0.169))
    calls: list[int] = []
    cells = Region._sample_cells

    def counted(self: Region, count: int, rng: np.random.Generator) -> Floats:
        calls.append(count)
        return cells(self, count, rng)

    monkeypatch.setattr(Region, "_sample_cells", counted)
    drawn = region.sample(500, np.random.default_rng(0))
    assert region.contains(drawn).all()
    assert calls == [500]


@pytest.mark.parametrize(
    ("lower", "upper", "match"),
    [
        ([0.6, 0.6, 0], [1, 1, 1], "no room"),
        ([0, 0, 0], [0.2, 0.2, 0.2], "no room"),
        ([0.3, 0], [0.3, 1], "no room.*for a fixed weight"),
    ],
)
def test_bounds_without_room_are_refused(
    lower: list[float], upper: list[float], match: str
) -> None:
    with pytest.raises(InvalidInputError, match=match):
        Region(np.array(lower, dtype=float), np.array(upper, dtype=float))


def test_a_bound_on_an_unknown_trait_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="unknown trait 'wit'"):
        Region.from_mappings({"wit": 0.2}, {}, ["safety", "humor"])
