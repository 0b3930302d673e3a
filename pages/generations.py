"""Generations: recorded answers as a matrix of prompts and policies; live, all answer at once."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import settings, state
from app.components import answers
from app.components.guide import say
from app.components.header import lead_on, open_bundle, open_portfolio
from app.components.matrix import matrix
from palm_engine.bundle.folder import Bundle


def filtered(bundle: Bundle) -> pd.Series[str]:
    """Prompts by prompt_id, as search and filters leave them."""
    name = bundle.folder.name
    texts = answers.prompt_order(bundle)
    left, *right = st.columns([3, 2, 2])
    word = left.text_input(
        "Search the prompts",
        key=settings.seed(f"search.{name}", ""),
        placeholder="a word or part of one",
    )
    kinds = bundle.prompts.drop_duplicates("prompt_id").set_index("prompt_id")
    by = (("kind", "Kinds"), ("split", "Splits"))[: 2 if state.is_expert() else 1]
    for place, (column, label) in zip(right, by, strict=False):
        found = (
            sorted({str(x) for x in kinds[column].reindex(texts.index)}) if column in kinds else []
        )
        if len(found) > 1:
            # Not pills: their labels are markdown, and these words come from the bundle.
            wanted = place.multiselect(
                label,
                found,
                key=settings.seed(f"{column}.{name}", [], among=found),
                placeholder="all",
            )
            if wanted:
                texts = texts[
                    kinds[column].reindex(texts.index).astype(str).isin(wanted).to_numpy()
                ]
    return texts[texts.str.casefold().str.contains(word.casefold(), regex=False)] if word else texts


def recorded_answers(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """Recorded answers, searched and filtered."""
    if bundle.prompts.empty or bundle.samples.empty:
        st.info(
            "This bundle has no recorded answers; it holds rewards only.",
            icon=":material/chat_bubble:",
        )
        lead_on("tradeoff", "Trade-off", "show_chart")
        return
    texts = filtered(bundle)
    if texts.empty:
        st.info(
            "No prompt matches. Shorten the search, or take a filter off.",
            icon=":material/search_off:",
        )
        return
    matrix(bundle, portfolio, texts)


def show() -> None:
    """The page."""
    bundle = open_bundle("What do they answer?")
    portfolio = open_portfolio(bundle)
    where = bundle.weights_text(state.weights(bundle))
    say(f"Your weights: {where} (set on Explore).")
    kind = st.segmented_control(
        "Answers",
        ["Recorded", "Live"],
        key=settings.seed(f"answers_kind.{bundle.folder.name}", "Recorded"),
        required=True,
    )
    if kind == "Live":
        # Only now: it brings what a model needs.
        from app.components.live.page import live

        live(bundle, portfolio)
    else:
        recorded_answers(bundle, portfolio)
    state.write_url(bundle)


show()
