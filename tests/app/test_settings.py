"""Settings in the address."""

from __future__ import annotations

from typing import Any

from streamlit.testing.v1 import AppTest


def _two_bundles() -> None:
    import streamlit as st

    from app import settings

    for name in ("demo", "x.demo", "demo.x"):
        for key, kind in (("field", name), ("columns.0-1", name), ("tolerance", name)):
            settings.seed(f"{key}.{kind}", "first")
    st.session_state["field.x.demo"] = "other"
    st.session_state["columns.0-1.x.demo"] = "else"
    st.session_state["tolerance.demo"] = "mine"
    st.session_state["found"] = {n: settings.for_address(n) for n in ("demo", "x.demo", "demo.x")}


def test_a_link_has_the_settings_of_its_own_bundle_only() -> None:
    app: Any = AppTest.from_function(_two_bundles).run()
    assert not app.exception
    assert app.session_state["found"] == {
        "demo": {"tolerate": "mine"},
        "x.demo": {"map": "other", "columns": "else"},
        "demo.x": {},
    }
