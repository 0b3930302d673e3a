"""The printable report of the Guarantee page: one HTML file, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.components.templates import fill
from palm_engine.analysis.guarantee import diversity, planned_and_reached, statements
from palm_engine.analysis.worst_served import worst_served
from palm_engine.bundle.folder import Bundle
from palm_engine.geometry.confidence import Bound


def report(bundle: Bundle, portfolio: tuple[int, ...], bound: Bound | None) -> str:
    """The guarantee of `portfolio` (candidate rows) as a page to print."""
    return fill(
        "report.html",
        title=f"Guarantee of {bundle.manifest.title or bundle.manifest.name}",
        statements=statements(bundle, portfolio, bound),
        members=_members(bundle, portfolio),
        traits=[
            {"name": t.name, "text": f"{t.normalisation}. {_card(t.card or {})}"}
            for t in bundle.manifest.traits
        ],
        tables=[t for t in _tables(bundle, portfolio) if t["rows"]],
    )


def _card(card: dict[str, Any]) -> str:
    return "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in card.items())


def _members(bundle: Bundle, portfolio: tuple[int, ...]) -> dict[str, Any]:
    candidates = [bundle.manifest.candidates[i] for i in portfolio]
    rows = [[c.label, *(f"{c.rewards[t]:.3f}" for t in bundle.traits)] for c in candidates]
    return {"title": "Members", "head": ["member", *bundle.traits], "rows": rows}


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
        "head": ["gap", "picked member", "best candidate", *bundle.traits],
        "rows": [
            [
                f"{s.gap:.4f}",
                bundle.labels[s.member],
                bundle.labels[s.best],
                *(f"{w:.2f}" for w in s.weights),
            ]
            for s in worst_served(bundle.points, list(portfolio))
        ],
    }
    yield {
        "title": "Diversity of answers",
        "head": ["portfolio", "embedding distance", "Vendi score", "usage perplexity", "worst gap"],
        "rows": [
            [
                d.portfolio,
                f"{d.distance:.3f}",
                "" if d.vendi is None else f"{d.vendi:.2f}",
                f"{d.usage_perplexity:.2f}",
                f"{d.worst_gap:.4f}",
            ]
            for d in diversity(bundle)
        ],
    }
