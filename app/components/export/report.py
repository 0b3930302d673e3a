"""The printable report of the Guarantee page: one HTML file, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from app.colours import colours_of
from app.components.templates import fill
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.guarantee import diversity, planned_and_reached, statements
from palm_engine.analysis.promise import Promise, promise
from palm_engine.analysis.worst_served import worst_served, worst_user
from palm_engine.bundle.folder import Bundle
from palm_engine.geometry.confidence import Bound
from palm_engine.geometry.regions import outline, region_polygons


def report(
    bundle: Bundle,
    portfolio: tuple[int, ...],
    bound: Bound | None,
    info: CurveInfo,
    tolerance: float | None = None,
) -> str:
    """The guarantee of a portfolio as a page to print.

    Args:
        bundle: where the portfolio is from.
        portfolio: rows of its candidates.
        bound: of its worst gap, or None.
        info: the curve to draw.
        tolerance: the largest loss that the user tolerates, to draw; None: no line.
    """
    told = promise(bundle, portfolio, bound)
    return fill(
        "report.html",
        title=f"Guarantee of {bundle.manifest.title or bundle.manifest.name}",
        date=f"{datetime.now(UTC):%d %B %Y}",
        promise=told,
        interval=_interval(told, tolerance),
        map=_map(bundle, portfolio),
        curve=_curve(info),
        statements=statements(bundle, portfolio, bound),
        members=_members(bundle, portfolio),
        user=_user(bundle, portfolio),
        traits=[
            {"name": t.label, "text": t.normalisation, "card": _card(t.card or {})}
            for t in bundle.manifest.traits
        ],
        tables=[t for t in _tables(bundle, portfolio) if t["rows"]],
    )


def _map(bundle: Bundle, portfolio: tuple[int, ...]) -> dict[str, Any] | None:
    """Regions, names and corners for the drawing; None without exactly three traits."""
    if len(bundle.traits) != 3:
        return None
    corners = np.array([[150.0, 20.0], [20.0, 245.0], [280.0, 245.0]])
    regions = []
    for row, polygon, colour in zip(
        portfolio,
        region_polygons(bundle.points[list(portfolio)]),
        colours_of(bundle, portfolio),
        strict=True,
    ):
        at = polygon @ corners
        middle = at.mean(axis=0) if len(at) else (0.0, 0.0)
        regions.append(
            {
                "name": bundle.labels[row],
                "colour": colour,
                "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in at),
                "x": f"{middle[0]:.1f}",
                "y": f"{middle[1]:.1f}",
            }
        )
    labels = [
        {"trait": t, "x": x, "y": y + (-6 if y < 100 else 16)}
        for t, (x, y) in zip(bundle.trait_labels, corners.tolist(), strict=True)
    ]
    inside = outline(bundle.region) @ corners
    veil = ""
    if bundle.region is not None:
        veil = " ".join(
            "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) + "Z"
            for points in (corners, inside)
        )
    worst = worst_served(bundle.points, list(portfolio), 1, bundle.region)
    ring = {}
    if worst:
        x, y = worst[0].weights @ corners
        ring = {"x": f"{x:.1f}", "y": f"{y:.1f}"}
    return {"regions": regions, "corners": labels, "worst": ring, "veil": veil}


def _interval(told: Promise, tolerance: float | None) -> dict[str, Any]:
    """Worst gap, its bound, the best single model's and what is tolerated, on one axis."""
    marks = (told.worst, told.single, told.upper, tolerance, told.aim)
    most = 1.15 * max(mark or 0.0 for mark in marks) or 1.0

    def mark(gap: float | None) -> dict[str, str] | None:
        return None if gap is None else {"x": f"{130 + 420 * gap / most:.1f}", "gap": f"{gap:.3f}"}

    return {
        "worst": mark(told.worst),
        "upper": mark(told.upper),
        "single": mark(told.single),
        "tolerance": mark(tolerance),
        "aim": mark(told.aim),
        "confidence": f"{told.confidence:.0%}" if told.confidence else "",
    }


def _curve(info: CurveInfo) -> dict[str, Any]:
    """Worst gap by size for the drawing, with its bound where there is one."""
    most = max(info.upper or info.measured) * 1.05 or 1.0
    width = 300 / len(info.sizes)

    def at(i: int, gap: float) -> str:
        return f"{60 + width * (i + 0.5):.1f},{20 + 200 * (1 - gap / most):.1f}"

    return {
        "line": " ".join(at(i, gap) for i, gap in enumerate(info.measured)),
        "bound": " ".join(at(i, gap) for i, gap in enumerate(info.upper or ())),
        "sizes": [{"k": k, "x": 60 + width * (i + 0.5)} for i, k in enumerate(info.sizes)],
        "most": f"{most:.3f}",
    }


def _card(card: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key.replace("_", " "), str(value)) for key, value in card.items()]


def _user(bundle: Bundle, portfolio: tuple[int, ...]) -> dict[str, str] | None:
    """The worst-served user, with both answers."""
    found = worst_user(bundle, portfolio)
    if found is None:
        return None
    texts = bundle.prompts.set_index("prompt_id")["text"]
    return {
        "where": bundle.weights_text(found.served.weights),
        "gap": f"{found.served.gap:.4f}",
        "prompt": str(texts[found.prompt_id]),
        "member": bundle.labels[found.served.member],
        "member_text": found.member_text,
        "best": bundle.labels[found.served.best],
        "best_text": found.best_text,
    }


def _members(bundle: Bundle, portfolio: tuple[int, ...]) -> dict[str, Any]:
    candidates = [bundle.manifest.candidates[i] for i in portfolio]
    rows = [[c.label, *(f"{c.rewards[t]:.3f}" for t in bundle.traits)] for c in candidates]
    return {"title": "Members", "head": ["member", *bundle.trait_labels], "rows": rows}


def _tables(bundle: Bundle, portfolio: tuple[int, ...]) -> Iterable[dict[str, Any]]:
    yield {
        "title": "Planned and reached, at each adapter's own weights",
        "head": ["candidate", "planned", "reached", "member"],
        "rows": [
            [
                bundle.label(r.policy),
                f"{r.planned:.3f}",
                f"{r.reached:.3f}",
                "yes" if r.is_member else "",
            ]
            for r in planned_and_reached(bundle, portfolio)
        ],
    }
    yield {
        "title": "What is lost: the weights that are served worst (scope: candidates)",
        "head": ["gap", "picked member", "best candidate", *bundle.trait_labels],
        "rows": [
            [
                f"{s.gap:.4f}",
                bundle.labels[s.member],
                bundle.labels[s.best],
                *(f"{w:.2f}" for w in s.weights),
            ]
            for s in worst_served(bundle.points, list(portfolio), region=bundle.region)
        ],
    }
    yield {
        "title": "Diversity of answers",
        "head": [
            "portfolio",
            "members",
            "embedding distance",
            "Vendi score",
            "usage perplexity",
            "worst gap",
            "where chosen",
            "average loss",
        ],
        "rows": [
            [
                d.portfolio,
                str(len(d.members)),
                f"{d.distance:.3f}",
                "" if d.vendi is None else f"{d.vendi:.2f}",
                f"{d.usage_perplexity:.2f}",
                f"{d.worst_gap:.4f}",
                "" if d.chosen_gap is None else f"{d.chosen_gap:.4f}",
                f"{d.average_loss:.4f}",
            ]
            for d in diversity(bundle)
        ],
    }
