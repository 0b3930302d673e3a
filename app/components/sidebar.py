"""The sidebar: which portfolio is open. Reading one that is broken becomes a sentence, never a traceback."""

from __future__ import annotations

import streamlit as st

from app import cache, state
from palm_engine.bundle import Bundle
from palm_engine.errors import PalmError


def pick_bundle(names: list[str]) -> None:
    """Show the picker of portfolios; the choice is kept in the session."""
    with st.sidebar:
        st.markdown("### PALM Atlas")
        if names:
            st.selectbox("Portfolio", names, key=state.BUNDLE, persist_state="session")


def open_bundle() -> Bundle:
    """The bundle that is picked; shows what to do and stops the page when there is none or it cannot be read."""
    root = state.portfolios_root()
    name = st.session_state.get(state.BUNDLE)
    if not name:
        st.info(
            f"There is no portfolio in {root}. Build the demo with `make demo`, or start the dashboard on a folder of "
            "portfolios: `streamlit run app/main.py -- --portfolios DIR`.",
            icon=":material/folder_open:",
        )
        st.stop()
    try:
        bundle = cache.bundle(root, name)
    except PalmError as error:
        st.error("This portfolio can't be opened.")
        st.text(str(error))
        st.stop()
    with st.sidebar:
        st.caption(f"{len(bundle.policies)} candidates, {len(bundle.members)} members, {len(bundle.traits)} traits")
        if bundle.manifest.base is not None:
            st.caption("Base model")
            st.text(bundle.manifest.base.source)
        _cards(bundle)
    state.write_url(bundle)
    return bundle


def open_portfolio(bundle: Bundle) -> state.Portfolio:
    """The portfolio in use; says what to do and stops the page where nothing is selected yet."""
    portfolio = cache.portfolio(bundle)
    if portfolio is None:
        st.info(
            "Nothing is selected in this portfolio yet. Choose a size on the Trade-off page.",
            icon=":material/show_chart:",
        )
        st.page_link("../pages/tradeoff.py", label="Go to Trade-off")
        st.stop()
    st.caption(f"{len(portfolio.rows)} member{'s' if len(portfolio.rows) > 1 else ''}: {portfolio.label}")
    return portfolio


def _cards(bundle: Bundle) -> None:
    cards = [t for t in bundle.manifest.traits if t.card]
    if not cards:
        return
    with st.expander("How traits are measured"):
        for trait in bundle.manifest.traits:
            text = f"{trait.name}: {trait.normalisation}."
            if trait.card:
                text += (
                    f" {trait.card.get('meaning', '')}. AUROC {trait.card.get('auroc_cross_validated')} on labelled "
                    f"examples ({trait.card.get('data')}), {trait.card.get('auroc_model_outputs')} on the model's own "
                    f"outputs. Known failures: {trait.card.get('known_failures')}. "
                    f"{str(trait.card.get('use', '')).capitalize()}."
                )
            st.text(text)
