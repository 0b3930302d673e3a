"""Entry point of the dashboard: page setup and navigation.

Run: streamlit run app/main.py [-- --portfolios DIR].
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import streamlit as st

PROJECT = Path(__file__).resolve().parent.parent
# `streamlit run` puts only app/ on the path; pages import `app` from the project folder.
sys.path[:0] = [p for p in (str(PROJECT),) if p not in sys.path]

from app import cache, settings, state  # noqa: E402
from app.components.header import pick_bundle, style_page  # noqa: E402
from app.components.menu import close_menu  # noqa: E402
from app.errors import shows_errors  # noqa: E402
from app.startup import is_loopback, portfolios_root  # noqa: E402

st.set_page_config(page_title="PALM Atlas", page_icon="🧭", layout="wide")
if not is_loopback(st.get_option("server.address")) and os.environ.get("PALM_PUBLIC") != "1":
    st.error(
        "PALM Atlas would be reachable from the network. Start it from the project's folder (its"
        " settings listen on this machine only), add --server.address localhost, or set"
        " PALM_PUBLIC=1 to share it on purpose."
    )
    st.stop()

state.set_portfolios_root(portfolios_root(PROJECT))
page = st.navigation(
    [
        st.Page(
            PROJECT / "pages" / "explore.py",
            title="Explore",
            icon=":material/explore:",
            default=True,
        ),
        *(
            st.Page(PROJECT / "pages" / f"{file}.py", title=title, icon=f":material/{icon}:")
            for file, title, icon in (
                ("find", "Find my model", "quiz"),
                ("tradeoff", "Trade-off", "show_chart"),
                ("coverage", "Coverage", "map"),
                ("generations", "Generations", "forum"),
                ("plan", "Plan", "architecture"),
                ("guarantee", "Guarantee", "verified"),
                ("data", "Data", "upload_file"),
            )
        ),
    ],
    position="top",
)
style_page()
cache.own_rewards()
names = cache.bundle_names(state.portfolios_root())
state.look_at_tickets()
settings.keep_settings(page.url_path)
state.restore_from_url(names)
state.take_next_bundle()
pick_bundle(names)
cache.preload(state.portfolios_root(), state.open_name())
close_menu(page.url_path)
shows_errors(page.run)()
cache.settle(page.title, str(state.open_name()))
