"""A tour in five steps and a glossary, one click away on every page."""

from __future__ import annotations

import streamlit as st

TOUR = (
    (
        "explore",
        "Explore",
        "Drag the sliders: where another model is better, it answers.",
    ),
    ("find", "Find my model", "Or say which answers you prefer: a few are enough."),
    (
        "tradeoff",
        "Trade-off",
        "Set the loss that you tolerate: how many models are enough?",
    ),
    ("coverage", "Coverage", "Upload your users: who is served how well, and by whom."),
    ("guarantee", "Guarantee", "Read what is promised for every user, and what isn't."),
)
GLOSSARY = {
    "trait": "What answers are judged by, such as safety or humor; a score from 0 to 1.",
    "weights": "How much each trait matters to a user; they sum to 1.",
    "candidate": "A model that was evaluated: trained, prompted, or imported.",
    "member": "A candidate that is kept in the portfolio.",
    "value": "A model's scores, weighed by a user's weights.",
    "gap": "How much less a user gets than from the best candidate: as a difference (additive), or"
    " as a share of the best value (multiplicative).",
    "worst gap": "The largest gap over all weights, found exactly.",
    "bound": "What the worst gap stays below with 95 % confidence, on prompts like those measured.",
    "scope": "What a gap is compared with: candidates (all that were evaluated), pool (all that"
    " could be trained on the scored samples), sampled (at listed weights only).",
    "coverage": "The share of users, or of all weights, whose gap is within a threshold.",
    "passes": "How often the model runs for each token: once, or once for each part of a mixture.",
    "KL": "How far a model is from the one it was trained from.",
}


def guide() -> None:
    """Two buttons: the tour and the words."""
    with st.container(key="guide", horizontal=True):
        with st.popover("Tour", icon=":material/tour:"):
            for number, (page, title, sentence) in enumerate(TOUR, start=1):
                st.page_link(f"../pages/{page}.py", label=f"{number}. {title}")
                st.caption(sentence)
        with st.popover("Words", icon=":material/menu_book:"):
            for word, meaning in GLOSSARY.items():
                st.markdown(f"**{word}**: {meaning}")
