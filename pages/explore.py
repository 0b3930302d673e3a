"""Explore: drag the sliders or the map, see who answers, how much is lost, and read it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import cache, settings, state
from app.colours import colours_of
from app.components import answers
from app.components import panel as atlas
from app.components.export.share import shared_page
from app.components.guide import expert, explained, say
from app.components.header import lead_on, open_bundle, open_portfolio
from app.errors import shows_errors
from palm_engine.bundle.folder import Bundle
from palm_engine.geometry.pick import PickInfo


def bespoke(bundle: Bundle, pick: PickInfo) -> str:
    """What a model made for exactly these weights would give.

    The best candidate, and the plan's value.
    """
    own = "the picked member itself" if pick.best == pick.member else bundle.labels[pick.best]
    line = (
        f"The best candidate at your weights is {own}"
        f"{expert(f', worth {pick.best_value:.3f}; your member gives {pick.member_value:.3f}')}"
        f"{expert(' (scope: candidates)')}."
    )
    planned = cache.planned_value(bundle, tuple(float(w) for w in pick.weights))
    if planned is not None:
        line += (
            f" A model trained for exactly these weights was planned at {planned:.3f}"
            f"{expert(' (scope: pool)')}; trained ones fall short of their plan, as the Guarantee"
            " page shows."
        )
    return line


def show_answers(bundle: Bundle, portfolio: state.Portfolio, pick: PickInfo) -> None:
    """Recorded answers of the picked member, the base, and the runner-up or best candidate."""
    if bundle.prompts.empty or bundle.samples.empty:
        st.info(
            "This bundle has no recorded answers; it holds rewards only.",
            icon=":material/chat_bubble:",
        )
        lead_on("tradeoff", "Trade-off", "show_chart")
        return
    prompt_id = state.open_prompt(bundle)
    colours = colours_of(bundle, portfolio.rows)
    shown = [
        (
            bundle.policies[pick.member],
            "picked at your weights",
            colours[portfolio.rows.index(pick.member)],
        )
    ]
    if "base" in bundle.policies and pick.member != bundle.policies.index("base"):
        [colour] = colours_of(bundle, [bundle.policies.index("base")])
        shown.append(("base", "the model before any training", colour))
    if pick.runner_up is not None and bundle.policies[pick.runner_up] != "base":
        colour = colours[portfolio.rows.index(pick.runner_up)]
        shown.append((bundle.policies[pick.runner_up], "runner-up member", colour))
    if pick.best != pick.member and bundle.policies[pick.best] != "base":
        [colour] = colours_of(bundle, [pick.best])
        why = "best candidate at your weights, not a member"
        shown.append((bundle.policies[pick.best], why, colour))
    found = answers.recorded(bundle, prompt_id, shown)
    base = next((a for a in found if a.policy == "base"), None)
    note = "Recorded answers, shown as they came; scores are of each answer by itself"
    note += (
        ", marked words and signed numbers tell what differs from the base's answer."
        if base
        else "."
    )
    answers.answer_cards(found, base, note)


def share(bundle: Bundle, shown: dict[str, Any]) -> None:
    """Download this view as one HTML file that needs neither Python nor a network."""
    chosen = state.open_prompt(bundle)

    def make() -> str:
        # When it is clicked, and outside of this session: what is shown was settled before.
        prompts: list[str] = []
        if not bundle.prompts.empty and not bundle.samples.empty:
            order = list(answers.prompt_order(bundle).index)
            prompts = [*([chosen] if chosen in order else []), *(p for p in order if p != chosen)]
        return shared_page(bundle, shown, prompts)

    st.download_button(
        "Share this view",
        make,
        f"{bundle.manifest.name}-explore.html",
        "text/html",
        icon=":material/ios_share:",
        on_click="ignore",
        help="One HTML file: map and answers stay alive, and it opens without Python or a network.",
    )


@st.fragment
@shows_errors
def live(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """The panel and what follows it; a moved slider reruns this part alone."""
    with st.container(key="asked"):
        prompt_id = "" if bundle.samples.empty else answers.pick_prompt(bundle)
    shown = atlas.view(bundle, portfolio, prompt_id=prompt_id)
    atlas.panel(bundle, shown, "explore")
    pick = state.picked(bundle, portfolio)
    # Few elements: every one of them is rendered again when a slider moves.
    sentence = explained(bespoke(bundle, pick))
    heading = '<h2 style="margin:0;padding:0">What they answer</h2>'
    st.html(f'<p data-part="bespoke" style="margin:0 0 1.5rem">{sentence}</p>{heading}')
    show_answers(bundle, portfolio, pick)
    share(bundle, shown)
    state.write_url(bundle)


@st.fragment
@shows_errors
def find(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """Questions in place of sliders, when they are asked for."""
    asked = st.toggle(
        "Not sure? Answer a few questions instead",
        key=settings.seed(f"find.{bundle.folder.name}", False),
    )
    if asked:
        from app.components.finder import finder

        finder(bundle, portfolio, "explore", shortcuts=False)


def show() -> None:
    """The page."""
    bundle = open_bundle("Which model answers you?")
    here = st.container()
    portfolio = open_portfolio(bundle)
    sentence = cache.story_of(bundle, portfolio.rows).in_words(bundle.unit, bundle.where_text)
    with here:
        say(sentence, "story")
    live(bundle, portfolio)
    find(bundle, portfolio)


show()
