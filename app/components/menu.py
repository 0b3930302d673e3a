"""Closes the menu of a phone when a page was chosen from it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

SCRIPT = Path(__file__).resolve().parent / "browser" / "menu.js"
_component = st.components.v2.component("palm_atlas.menu", js=SCRIPT.read_text(encoding="utf-8"))


def close_menu(page: str) -> None:
    """Say which page is open; nothing is shown."""
    _component(key="menu", data={"page": page}, height=1)
