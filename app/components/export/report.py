"""The printable report of the Guarantee page: one HTML file; all strings escaped, nothing loaded from anywhere."""

from __future__ import annotations

import html
from collections.abc import Sequence

from palm_engine.analysis.guarantee import diversity, planned_and_reached, statements
from palm_engine.analysis.worst_served import worst_served
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import BoundInfo

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title><style>
body {{ font: 11pt/1.45 system-ui, sans-serif; color: #1c2733; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; font-size: 9.5pt; }} th, td {{ text-align: left; padding: .25rem .5rem;
  border-bottom: 1px solid #ccd4dc; overflow-wrap: anywhere; }} h2 {{ font-size: 1.1rem; margin-top: 1.6rem; }}
dt {{ font-weight: 600; margin-top: .6rem; }} dd {{ margin: 0; }}
@media print {{ body {{ margin: 0; }} h2, tr {{ break-inside: avoid; }} }}
</style></head><body><main><h1>{title}</h1>{body}</main></body></html>
"""


def report(bundle: Bundle, portfolio: tuple[int, ...], bound: BoundInfo | None) -> str:
    """The guarantee of `portfolio` as a page to print."""
    said = "".join(f"<dt>{_e(s.heading)}</dt><dd>{_e(s.text)}</dd>" for s in statements(bundle, portfolio, bound))
    candidates = bundle.manifest.candidates
    parts = [f"<dl>{said}</dl>", "<h2>Members</h2>"]
    parts.append(
        _table(
            ["member", *bundle.traits],
            [[candidates[i].policy, *(f"{candidates[i].values[t]:.3f}" for t in bundle.traits)] for i in portfolio],
        )
    )
    parts += ["<h2>How traits are measured</h2>", "<dl>"]
    for trait in bundle.manifest.traits:
        card = "; ".join(f"{k.replace('_', ' ')}: {v}" for k, v in (trait.card or {}).items())
        parts.append(f"<dt>{_e(trait.name)}</dt><dd>{_e(trait.normalisation)}. {_e(card)}</dd>")
    parts.append("</dl>")
    if rows := planned_and_reached(bundle):
        parts.append("<h2>Planned and reached, at each adapter's own weights</h2>")
        table = [[r.policy, f"{r.planned:.3f}", f"{r.reached:.3f}", "yes" if r.is_member else ""] for r in rows]
        parts.append(_table(["candidate", "planned", "reached", "member"], table))
    if found := worst_served(bundle.points, list(portfolio)):
        parts.append("<h2>What is lost: the weights that are served worst (scope: candidates)</h2>")
        table = [
            [f"{s.gap:.4f}", bundle.policies[s.member], bundle.policies[s.best], *(f"{w:.2f}" for w in s.weights)]
            for s in found
        ]
        parts.append(_table(["gap", "picked member", "best candidate", *bundle.traits], table))
    if measured := diversity(bundle):
        parts.append("<h2>Diversity of answers</h2>")
        table = [
            [
                d.portfolio, f"{d.distance:.3f}", "" if d.vendi is None else f"{d.vendi:.2f}",
                f"{d.usage_perplexity:.2f}", f"{d.worst_gap:.4f}",
            ]
            for d in measured
        ]  # fmt: skip
        parts.append(_table(["portfolio", "embedding distance", "Vendi score", "usage perplexity", "worst gap"], table))
    title = f"Guarantee of {bundle.manifest.title or bundle.manifest.name}"
    return _PAGE.format(title=_e(title), body="".join(parts))


def _e(text: object) -> str:
    return html.escape(str(text))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{_e(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(f'<th>{_e(h)}</th>' for h in head)}</tr></thead><tbody>{body}</tbody></table>"
