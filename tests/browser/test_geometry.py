"""The browser's geometry against the engine's, on generated tables, in the browser itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from palm_engine.geometry.envelope import best_policy, upper_envelope
from palm_engine.geometry.fields import gap_field
from palm_engine.geometry.pick import pick_info
from palm_engine.geometry.region import Region
from palm_engine.geometry.regions import outline
from tests.support.browser_tools import ROOT

pytestmark = pytest.mark.browser
SCRIPT = ROOT / "app" / "components" / "browser" / "geometry.js"


@pytest.fixture(scope="module")
def geometry(browser: Any) -> Iterator[Any]:
    page = browser.new_page()
    page.add_script_tag(path=str(SCRIPT))
    yield page
    page.close()


def tables(d: int, count: int = 25) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Candidates, rows of members and weights; some candidates tie exactly, some nearly."""
    for seed in range(count):
        rng = np.random.default_rng((d, seed))
        points = rng.random((12, d)).round(3)
        points[4] = points[1]  # a tie everywhere
        points[7] = points[2] + 5e-13  # a tie within the tolerance
        points[9] = points[3] + 1e-6  # no tie
        rows = np.sort(rng.choice(12, 5, replace=False))
        weights = np.vstack([rng.dirichlet(np.ones(d), 20), np.eye(d)])
        yield points, rows, weights


@pytest.mark.parametrize("d", [2, 3, 5])
def test_picks_gaps_and_runners_up_are_the_engines(geometry: Any, d: int) -> None:
    for points, rows, weights in tables(d):
        found = geometry.evaluate(
            "([m, c, ws]) => ws.map((w) => pickAt(m, c, w))",
            [points[rows].tolist(), points.tolist(), weights.tolist()],
        )
        field = gap_field(points[rows], points, weights)
        for w, pick, member, gap in zip(weights, found, field.member, field.gap, strict=True):
            info = pick_info(points, rows.tolist(), w)
            assert rows[pick["member"]] == rows[member] == info.member
            assert rows[pick["runnerUp"]] == info.runner_up
            assert pick["gap"] == pytest.approx(gap, abs=1e-12)
            assert pick["bestValue"] == pytest.approx(info.best_value, abs=1e-12)
            assert pick["multiplicative"] == pytest.approx(info.multiplicative_gap, abs=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_weights_that_count_are_the_engines(geometry: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(3, 6))
    low = rng.uniform(0, 0.5 / d, d)
    high = np.minimum(rng.uniform(1.5 / d, 1.2, d), 1.0)
    region = Region(low, high)
    where = np.stack([region.lower, region.upper], axis=1).tolist()
    weights = rng.dirichlet(np.ones(d), 200)
    found = geometry.evaluate(
        "([ws, where]) => ws.map((w) => counts(w, where))", [weights.tolist(), where]
    )
    assert found == region.contains(weights).tolist()
    # What a slice shows: a polygon that holds just the shares whose weights count.
    held = region.centre()
    free = [0, 1, 2]
    polygon = geometry.evaluate(
        "([where, w, free]) => within([[1, 0, 0], [0, 1, 0], [0, 0, 1]],"
        " shareBounds(where, w, free))",
        [where, held.tolist(), free],
    )
    shares = rng.dirichlet(np.ones(3), 4000)
    full = np.tile(held, (len(shares), 1))
    full[:, free] = shares * held[free].sum()
    assert area(polygon) == pytest.approx(region.contains(full).mean(), abs=0.03)
    if d == 3:
        assert area(polygon) == pytest.approx(area(outline(region).tolist()), abs=1e-9)
    outside = held.copy()
    outside[-1] = 1.0
    bounds = geometry.evaluate(
        "([where, w, free]) => shareBounds(where, w, free)", [where, outside.tolist(), free]
    )
    assert d == 3 or region.upper[-1] >= 1 or bounds is None


def area(polygon: list[list[float]]) -> float:
    """Share of the triangle that a polygon of shares covers."""
    a = np.array(polygon)[:, 0]
    b = np.array(polygon)[:, 1]
    return abs(float((a * np.roll(b, -1) - np.roll(a, -1) * b).sum()))


def test_regions_are_where_the_engine_picks(geometry: Any) -> None:
    for points, rows, _ in tables(3):
        members = points[rows]
        regions = geometry.evaluate("(m) => regionsOf(m)", members.tolist())
        assert sum(area(r) for r in regions if len(r) > 2) == pytest.approx(1, abs=1e-9)
        for i, polygon in enumerate(regions):
            if len(polygon) < 3:
                continue
            corners = np.array(polygon)
            assert (corners >= -1e-12).all()
            best = upper_envelope(members, corners)
            assert np.allclose(corners @ members[i], best, atol=1e-11)
            # A point well inside is picked from this member's region, and from no other.
            inside = corners.mean(axis=0)
            assert best_policy(members, inside[None])[0] == i
        centres = [np.mean(r, axis=0) for r in regions if len(r) > 2]
        assert len({int(best_policy(members, c[None])[0]) for c in centres}) == len(centres)


def test_a_slice_is_the_simplex_seen_through_its_corners(geometry: Any) -> None:
    for points, _, weights in tables(5, 8):
        for w in weights[:5]:
            free = [0, 2, 4]
            share = np.random.default_rng(3).dirichlet(np.ones(3))
            cut, full = geometry.evaluate(
                "([u, w, free, s]) => [slicePoints(u, w, free), fullWeights(s, w, free)]",
                [points.tolist(), w.tolist(), free, share.tolist()],
            )
            assert sum(full) == pytest.approx(1)
            assert np.array(full)[[1, 3]] == pytest.approx(w[[1, 3]])
            assert np.array(cut) @ share == pytest.approx(points @ full, abs=1e-12)


def test_lines_of_a_linear_field_lie_where_it_has_the_level(geometry: Any) -> None:
    for seed in range(12):
        u = np.random.default_rng(seed).random(3)
        level = float(np.quantile(u, 0.5) * 0.5 + u.mean() * 0.5)
        pieces, lines, values = geometry.evaluate(
            """([u, level]) => {
                const rows = lattice(24, (s) => dot(u, s));
                const pieces = isoLine(rows, level);
                const at = [[.2, .3, .5], [1, 0, 0], [.05, .9, .05]];
                return [pieces, joined(pieces), at.map((s) => interpolate(rows, s))];
            }""",
            [u.tolist(), level],
        )
        assert values == pytest.approx(
            [np.dot(u, s) for s in ([0.2, 0.3, 0.5], [1, 0, 0], [0.05, 0.9, 0.05])], abs=1e-9
        )
        for piece in pieces:
            for end in piece:
                assert np.dot(u, end) == pytest.approx(level, abs=1e-12)
        length = sum(np.linalg.norm(np.subtract(*piece)) for piece in pieces)
        along = sum(np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in lines)
        assert along == pytest.approx(length)
        # A straight level crosses the triangle once: one line from border to border.
        assert len(lines) == (1 if pieces else 0)


def test_a_closed_line_stays_one_line(geometry: Any) -> None:
    lines = geometry.evaluate(
        """() => {
            const bump = (s) => -s.reduce((t, x) => t + (x - 1 / 3) ** 2, 0);
            return joined(isoLine(lattice(30, bump), -0.05));
        }"""
    )
    assert len(lines) == 1
    assert lines[0][0] == pytest.approx(lines[0][-1])
