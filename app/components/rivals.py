"""Interpolation beside the portfolio: what a soup or a mixture of the corners is worth."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import charts
from app.components import figure
from app.components.guide import expert
from app.plain import inert
from palm_engine.analysis.interpolation import interpolation_info
from palm_engine.bundle.folder import Bundle

PLACES = {"value": 3, "to the portfolio": 3, "at least": 3, "at most": 3, "at equal cost": 3}


def interpolation_panel(bundle: Bundle) -> None:
    """Would one interpolated model do instead?

    A hint where it was not measured and could be.
    """
    found = bundle.manifest.interpolation
    if found is None:
        if bundle.manifest.base is not None and bundle.members:
            with st.expander("Would one interpolated model do instead?"):
                st.text(
                    "Not measured in this bundle. A soup of the corner adapters, or mixing their"
                    " outputs, serves every preference from as many adapters as there are traits:"
                )
                st.code(f"palm interpolate {bundle.folder}", language=None)
        return
    info = interpolation_info(bundle, found)
    st.subheader("Would one interpolated model do instead?")
    st.text(info.verdict)
    table = pd.DataFrame(
        [
            {
                "way": r.name,
                "value": r.value,
                "adapters hosted": r.adapters,
                "passes per token": r.passes,
                "to the portfolio": None if r.difference is None else r.difference.estimate,
                "at least": None if r.difference is None else r.difference.lower,
                "at most": None if r.difference is None else r.difference.upper,
                "at equal cost": None if r.to_equal is None else r.to_equal.estimate,
                f"ahead at (of {info.weights})": r.ahead,
            }
            for r in info.rivals
        ]
    )
    figure.show(
        charts.interpolation(bundle, found, info),
        table,
        f"{bundle.manifest.name}-interpolation",
        f"interpolation.{bundle.folder.name}",
        "Value of the portfolio, of soups and of mixtures at random weights",
    )
    figure.numbers(table, places=PLACES)
    st.caption(
        f"The same {found.prompts} {inert(found.split)} prompts for all, one answer each"
        f"{expert(' (scope: sampled)')}. At least and at most: each with 95 % confidence. A soup is"
        " one adapter made for a user's weights; mixing runs the model once per trait for every"
        " token. At equal cost: to a portfolio that hosts as many models as there are traits."
    )
