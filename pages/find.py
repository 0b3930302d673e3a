"""Find my model: a few questions in place of sliders."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components.finder import finder
from app.components.guide import say
from app.components.header import open_bundle, open_portfolio
from app.errors import shows_errors
from palm_engine.bundle.folder import Bundle


@st.fragment
@shows_errors
def ask(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """The questions; an answer reruns this part alone."""
    finder(bundle, portfolio, "page", shortcuts=True)


def show() -> None:
    """The page."""
    bundle = open_bundle("Find my model")
    say("Nobody knows their weights. Say which answer you prefer, a few times.")
    portfolio = open_portfolio(bundle)
    ask(bundle, portfolio)


show()
