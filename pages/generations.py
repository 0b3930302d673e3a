"""Generations: every member's recorded answer to a prompt, best for your weights first.

Search, filter, pages.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import state
from app.colours import colours_of
from app.components import answers, figure
from app.components.header import open_bundle, open_portfolio
from palm_engine.bundle.folder import Bundle
from palm_engine.geometry.pick import pick_info
from palm_engine.geometry.simplex import named_weights, weights_text

PAGE_ROWS = 20


def filtered(bundle: Bundle) -> pd.Series[str]:
    """Prompts by prompt_id, as search and filters leave them."""
    name = bundle.folder.name
    texts = answers.prompt_order(bundle)
    left, right = st.columns([3, 2])
    word = left.text_input(
        "Search the prompts", key=f"search.{name}", placeholder="a word or part of one"
    )
    kinds = bundle.prompts.drop_duplicates("prompt_id").set_index("prompt_id")
    for column, label in (("kind", "Kinds"), ("split", "Splits")):
        found = (
            sorted({str(x) for x in kinds[column].reindex(texts.index)}) if column in kinds else []
        )
        if len(found) > 1:
            # Not pills: their labels are markdown, and these words come from the bundle.
            wanted = right.multiselect(label, found, key=f"{column}.{name}", placeholder="all")
            if wanted:
                texts = texts[
                    kinds[column].reindex(texts.index).astype(str).isin(wanted).to_numpy()
                ]
    return texts[texts.str.casefold().str.contains(word.casefold(), regex=False)] if word else texts


def ordered(bundle: Bundle, portfolio: state.Portfolio) -> list[tuple[str, str, str]]:
    """(policy, why, colour) of every member by value at the weights in use, best first.

    Then the base.
    """
    values = bundle.points @ state.weights(bundle)
    colours = dict(zip(portfolio.rows, colours_of(bundle, portfolio.rows), strict=True))
    picked = pick_info(bundle.points, list(portfolio.rows), state.weights(bundle)).member
    rows = sorted(portfolio.rows, key=lambda i: (i != picked, -values[i]))
    shown = [
        (
            bundle.policies[i],
            f"value {values[i]:.3f} at your weights" + (", picked" if i == picked else ""),
            colours[i],
        )
        for i in rows
    ]
    if "base" in bundle.policies and bundle.policies.index("base") not in rows:
        value = values[bundle.policies.index("base")]
        shown.append(("base", f"value {value:.3f}, the model before any training", "#9aa7b5"))
    return shown


def page_of(bundle: Bundle, texts: pd.Series[str], shown: list[tuple[str, str, str]]) -> None:
    """A page of prompts with the picked member's and the base's answers.

    A clicked row is opened above.
    """
    st.subheader("All prompts")
    name = bundle.folder.name
    pages = -(-len(texts) // PAGE_ROWS)
    page = 1
    if pages > 1:
        page = int(st.number_input(f"Page (of {pages})", 1, pages, 1, key=f"page.{name}.{pages}"))
    ids = list(texts.index[(page - 1) * PAGE_ROWS : page * PAGE_ROWS])
    compared = [shown[0], *(s for s in shown if s[0] == "base" and s is not shown[0])]
    rows = []
    for prompt_id in ids:
        row: dict[str, object] = {"prompt": str(texts[prompt_id])}
        for answer in answers.recorded(bundle, prompt_id, compared):
            row[f"answer of {answer.label}"] = answer.text
            row |= {f"{t} of {answer.label}": answer.scores.get(t) for t in bundle.traits}
        rows.append(row)
    table = pd.DataFrame(rows)
    event = figure.table(
        table,
        f"{bundle.manifest.name}-answers-page-{page}",
        f"answers.{name}.{page}.{len(texts)}",
        digits=2,
        on_select="rerun",
        selection_mode="single-row",
    )
    st.caption("Select a row to read every member's answer to that prompt above.")
    chosen = event["selection"]["rows"] if event else []
    key = f"opened.{name}"
    if chosen and st.session_state.get(key) != (page, chosen[0], len(texts)):
        st.session_state[key] = (page, chosen[0], len(texts))
        state.open_prompt_next(bundle, ids[chosen[0]])
        st.rerun()


def recorded_answers(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """Recorded answers: a prompt, every member's answer to it, and the table of all prompts."""
    if bundle.prompts.empty or bundle.samples.empty:
        st.info(
            "This bundle has no recorded answers; it holds rewards only.",
            icon=":material/chat_bubble:",
        )
        return
    texts = filtered(bundle)
    if texts.empty:
        st.info(
            "No prompt matches. Shorten the search, or take a filter off.",
            icon=":material/search_off:",
        )
        return
    state.take_next_prompt(bundle, texts.index)
    prompt_id = answers.pick_prompt(bundle, texts)
    shown = ordered(bundle, portfolio)
    count = int(bundle.answers(prompt_id, [shown[0][0]]).shape[0])
    sample = 0
    if count > 1:
        picked = st.segmented_control(
            "Answer",
            range(count),
            default=0,
            format_func=lambda i: f"{i + 1} of {count}",
            key=f"sample.{bundle.folder.name}.{count}",
            required=True,
        )
        sample = int(picked or 0)
    found = answers.recorded(bundle, prompt_id, shown, sample)
    note = (
        "Recorded answers, shown as they came; marked words and signed numbers differ from the"
        " base's answer."
    )
    answers.answer_cards(found, next((a for a in found if a.policy == "base"), None), note)
    page_of(bundle, texts, shown)


def show() -> None:
    """The page."""
    bundle = open_bundle("What do they answer?")
    portfolio = open_portfolio(bundle)
    where = weights_text(named_weights(state.weights(bundle), bundle.traits))
    st.text(f"Your weights: {where} (set on Explore). Members by their value there, best first.")
    kind = st.segmented_control(
        "Answers",
        ["Recorded", "Live"],
        default="Recorded",
        key=f"answers_kind.{bundle.folder.name}",
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
