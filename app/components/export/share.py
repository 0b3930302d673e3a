"""One self-contained HTML file of the Explore view.

The live panel and recorded answers, no server, no network.

The file's content policy allows nothing but what is inside it; every text from the bundle is data,
set as text.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from app.colours import colours_of
from app.components.panel import script, styles
from app.components.templates import fill
from palm_engine.bundle.folder import Bundle

MOST_PROMPTS = 12


def shared_page(bundle: Bundle, shown: dict[str, Any], prompt_ids: list[str]) -> str:
    """The HTML of a view, with recorded answers of members and base to some prompts.

    Args:
        bundle: that is open.
        shown: the view, from `panel.view`.
        prompt_ids: prompts to show; the first MOST_PROMPTS of them.
    """
    policies = [
        *shown["policies"],
        *(["base"] if "base" in bundle.policies and "base" not in shown["policies"] else []),
    ]
    texts: pd.Series = bundle.prompts.set_index("prompt_id")["text"]
    rows_of = [bundle.row(p) for p in policies]
    colours = dict(zip(policies, colours_of(bundle, rows_of), strict=True))
    answers = []
    for prompt_id in prompt_ids[:MOST_PROMPTS]:
        rows = bundle.answers(prompt_id, policies).drop_duplicates("policy")
        given = [
            {
                "policy": bundle.label(str(r["policy"])),
                "text": str(r["text"]),
                "scores": [float(r[t]) for t in bundle.traits],
                "colour": colours[str(r["policy"])],
            }
            for _, r in rows.iterrows()
        ]
        answers.append({"text": str(texts[prompt_id]), "answers": given})
    title = bundle.manifest.title or bundle.manifest.name
    return fill(
        "share.html",
        title=f"PALM Atlas: {title}",
        subtitle=(
            f"{title}. {len(shown['names'])} members out of {len(bundle.policies)} candidates; "
            "move the sliders or the mark on the map."
        ),
        css=styles(),
        answers=answers,
        data={"view": shown, "answers": answers},
        js=script("share.js"),
    )
