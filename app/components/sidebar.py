"""The sidebar: which portfolio is open.

Reading one that is broken becomes a sentence, never a traceback.
"""

from __future__ import annotations

import html

import streamlit as st

from app import cache, state
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import PalmError


def pick_bundle(names: list[str]) -> None:
    """Show the picker of portfolios; the choice is kept in the session."""
    with st.sidebar:
        st.html('<div style="font-size:1.25rem;font-weight:600">PALM Atlas</div>')
        if names:
            st.selectbox("Portfolio", names, key=state.open_key(), persist_state="session")


def open_bundle() -> Bundle:
    """The bundle that is picked.

    Shows what to do and stops the page when there is none or it cannot be read.
    """
    root = state.portfolios_root()
    name = state.open_name()
    if not name:
        st.info(
            f"There is no portfolio in {root}. Drop a table of your own models on the Data page,"
            " build the demo with `make demo`, or start the dashboard on a folder of bundles:"
            " `palm app --portfolios DIR`.",
            icon=":material/folder_open:",
        )
        st.page_link("../pages/data.py", label="Go to Data", icon=":material/upload_file:")
        st.stop()
    try:
        bundle = cache.bundle(root, name)
    except PalmError as error:
        st.error("This bundle can't be opened.")
        st.text(str(error))
        st.stop()
    counts = (
        (len(bundle.policies), "candidate"),
        (len(bundle.members), "member"),
        (len(bundle.traits), "trait"),
    )
    sentence = ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for n, what in counts)
    if bundle.manifest.base is not None:
        sentence += f". Base model: {bundle.manifest.base.source}"
    # One element: Streamlit renders every one of the page again whenever a slider moves.
    st.sidebar.html(
        f'<p style="opacity:.75;font-size:.9rem;overflow-wrap:anywhere">{html.escape(sentence)}</p>'
    )
    state.write_url(bundle)
    return bundle


def open_portfolio(bundle: Bundle) -> state.Portfolio:
    """The portfolio in use; says what to do and stops the page where nothing is selected yet."""
    portfolio = cache.portfolio(bundle)
    if portfolio is None:
        st.info(
            "Nothing is selected in this bundle yet. Choose a size on the Trade-off page.",
            icon=":material/show_chart:",
        )
        st.page_link("../pages/tradeoff.py", label="Go to Trade-off")
        st.stop()
    st.caption(
        f"{len(portfolio.rows)} member{'s' if len(portfolio.rows) > 1 else ''}: {portfolio.label}"
    )
    return portfolio
