"""One self-contained HTML file of the Explore view: the live panel and recorded answers, no server, no network.

The file's content policy allows nothing but what is inside it; every text from the bundle is data, set as text.
"""

from __future__ import annotations

import html
import json
from typing import Any

import pandas as pd

from app.components.panel import script, styles
from palm_engine.bundle.folder import Bundle

MOST_PROMPTS = 12
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --st-background-color: #fff; --st-text-color: #1c2733; --st-primary-color: #2f5d8a;
  --st-secondary-background-color: #f3f5f8; --st-border-color: rgba(110,125,140,.45); }}
@media (prefers-color-scheme: dark) {{ :root {{ --st-background-color: #12181f; --st-text-color: #e8edf2;
  --st-primary-color: #7fb2e5; --st-secondary-background-color: #1c2530; }} }}
body {{ font-family: system-ui, sans-serif; background: var(--st-background-color); color: var(--st-text-color);
  margin: 0 auto; padding: 1.2rem; max-width: 1250px; }}
h1 {{ font-size: 1.7rem; margin: 0 0 .2rem; }} h2 {{ font-size: 1.2rem; }}
#answers {{ display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr));
  margin-top: .8rem; }}
.answer {{ border: 1px solid var(--st-border-color); border-top: 4px solid; border-radius: 8px; padding: .7rem .9rem;
  overflow-wrap: anywhere; }} .answer p {{ white-space: pre-wrap; }}
#prompt {{ width: 100%; }}
{css}
</style></head><body>
<main><h1>Which model answers you?</h1><p class="quiet">{subtitle}</p>
<div id="panel"></div>
<section {hidden}><h2>What they answer</h2><label for="prompt">Prompt</label> <select id="prompt"></select>
<div id="answers"></div>
<p class="quiet">Recorded answers, shown as they came. Scores are of each answer by itself.</p></section></main>
<script type="application/json" id="data">{data}</script>
<script>{js}</script></body></html>
"""


def shared_page(bundle: Bundle, shown: dict[str, Any], prompt_ids: list[str]) -> str:
    """The HTML of `shown` (from `atlas.view`), with recorded answers of members and base to `prompt_ids`."""
    policies = [*shown["names"], *(["base"] if "base" in bundle.policies and "base" not in shown["names"] else [])]
    texts: pd.Series = bundle.prompts.set_index("prompt_id")["text"]
    answers = []
    for prompt_id in prompt_ids[:MOST_PROMPTS]:
        rows = bundle.answers(prompt_id, policies).drop_duplicates("policy")
        given = [
            {"policy": str(r["policy"]), "text": str(r["text"]), "scores": [float(r[t]) for t in bundle.traits]}
            for _, r in rows.iterrows()
        ]
        answers.append({"text": str(texts[prompt_id]), "answers": given})
    data = json.dumps({"view": shown, "answers": answers}).replace("<", "\\u003c")
    return _PAGE.format(
        title=html.escape(f"PALM Atlas: {bundle.manifest.title or bundle.manifest.name}"),
        subtitle=html.escape(
            f"{bundle.manifest.title or bundle.manifest.name}. {len(shown['names'])} members out of "
            f"{len(bundle.policies)} candidates; move the sliders or the mark on the map."
        ),
        css=styles(),
        hidden="" if answers else "hidden",
        data=data,
        js=script("share.js"),
    )
