"""The head of every page: its title, and which bundle is open.

Reading one that is broken becomes a sentence, never a traceback.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import cache, state
from app.components.guide import guide
from app.errors import show_error
from app.plain import inert
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import PalmError

STYLE = Path(__file__).resolve().parent / "browser" / "page.css"


def style_page() -> None:
    """The style sheet of all pages."""
    st.html(f"<style>{STYLE.read_text(encoding='utf-8')}</style>")


def pick_bundle(names: list[str]) -> None:
    """The picker of bundles; the choice is kept in the session.

    Drawn by the main script: a page's own widgets are others on every page. The page's title comes
    beside it.
    """
    with st.container(key="head"):
        left, middle, right = st.columns([4, 3, 2], vertical_alignment="bottom")
    state.set_head(left)
    with middle:
        guide()
    if names:
        right.selectbox(
            "Bundle",
            names,
            key=state.open_key(),
            persist_state="session",
            help="Evaluated models and their portfolio, a folder each; add yours on Data.",
        )


def open_bundle(title: str) -> Bundle:
    """The head of a page, and the bundle that is picked.

    Shows what to do and stops the page when there is none or it cannot be read.
    """
    state.head().title(title)
    root = state.portfolios_root()
    name = state.open_name()
    if not name:
        st.info(
            f"There is no bundle in {inert(str(root))}. Drop a table of your own models on the Data"
            " page, build the demo with `make demo`, or start the dashboard on a folder of bundles:"
            " `palm app DIR`.",
            icon=":material/folder_open:",
        )
        lead_on("data", "Data", "upload_file")
        st.stop()
    try:
        bundle = cache.bundle(root, name)
    except PalmError as error:
        show_error("This bundle can't be opened.", error)
        lead_on("data", "Data", "upload_file")
        st.stop()
    if state.is_newer(bundle, cache.stamp(bundle)):
        st.toast(f"{inert(name)} was written anew; this is the new one.", icon=":material/update:")
    state.write_url(bundle)
    return bundle


def lead_on(page: str, title: str, icon: str) -> None:
    """Where to go from a page that has nothing to show."""
    st.page_link(f"../pages/{page}.py", label=f"Go to {title}", icon=f":material/{icon}:")


def open_portfolio(bundle: Bundle) -> state.Portfolio:
    """The portfolio in use; says what to do and stops the page where nothing is selected yet."""
    portfolio = cache.portfolio(bundle)
    if portfolio is None:
        st.info(
            "Nothing is selected in this bundle yet. Choose a size on the Trade-off page.",
            icon=":material/show_chart:",
        )
        lead_on("tradeoff", "Trade-off", "show_chart")
        st.stop()
    base = bundle.manifest.base
    st.container(key="who").caption(
        f"{len(portfolio.rows)} member{'s' if len(portfolio.rows) > 1 else ''}: {portfolio.label}."
        f" {len(bundle.policies)} candidates, {len(bundle.traits)} traits"
        + (f", base model {inert(base.source)}." if base is not None else ".")
        + (f" {inert(bundle.limits_text)}" if bundle.limits_text else "")
    )
    return portfolio
