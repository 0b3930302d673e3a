"""Trade-off: how many members for how small a worst gap; a chosen size is used on every page."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import cache, charts, state
from app.components.sidebar import open_bundle
from palm_engine.bundle import Bundle
from palm_engine.explore import CurveInfo

OWN = "portfolio's own"


def table(info: CurveInfo) -> pd.DataFrame:
    """The curve's numbers, as shown and as downloaded."""
    columns: dict[str, object] = {"members": info.sizes}
    if info.certify is not None and info.upper is not None:
        columns |= {"worst gap": info.certify, "bound": info.upper, "worst gap on choose prompts": info.choose}
    else:
        columns |= {"worst gap": info.choose}
    columns["portfolio"] = [", ".join(m) for m in info.members]
    return pd.DataFrame(columns)


def pick_size(bundle: Bundle, info: CurveInfo) -> None:
    """Buttons for every size; clicking a point of the curve does the same."""
    sizes: list[int | str] = [*([OWN] if bundle.members else []), *info.sizes]
    current: int | str | None = state.chosen_size(bundle) or (OWN if bundle.members else None)
    picked = st.segmented_control(
        "Use a portfolio of this size on every page", sizes, default=current if current in sizes else None,
        format_func=lambda s: s if isinstance(s, str) else f"{s} member{'s' if s > 1 else ''}",
        key=f"pick_size.{bundle.folder.name}.{current}",
    )  # fmt: skip
    wanted = None if picked in (OWN, None) else int(picked)
    if picked is not None and wanted != state.chosen_size(bundle):
        state.choose_size(bundle, wanted)
        st.rerun()


def show() -> None:
    """The page."""
    bundle = open_bundle()
    st.title("How many members are enough?")
    info = cache.curve(bundle)
    st.caption(
        f"Each point is the {'exact best' if info.proved else 'best found in time (not all proved)'} portfolio of its "
        "size among the candidates, its worst gap taken over the whole simplex of weights (scope: candidates)."
    )
    pick_size(bundle, info)
    portfolio = cache.portfolio(bundle)
    own = cache.exact_gap(bundle, portfolio.rows).additive if portfolio else None
    marked = (len(portfolio.rows), own) if portfolio is not None and own is not None else None
    event = st.plotly_chart(
        charts.size_curve(info, marked),
        key=f"size_curve.{bundle.folder.name}",
        on_select="rerun",
        selection_mode="points",
        config={"displaylogo": False},
        alt="Worst gap against portfolio size",
    )
    points = event["selection"]["points"] if event else []
    size = int(points[0]["x"]) if points else None
    if state.is_new_click(bundle, size) and size in info.sizes:
        state.choose_size(bundle, size)
        st.rerun()
    if info.upper is not None:
        st.caption(
            "Sizes were chosen on the choose prompts and measured on the certify prompts; the bound holds for all "
            "sizes at once, so picking one by looking at this figure is fair."
        )
    if portfolio is not None:
        st.subheader("In use now")
        st.text(", ".join(bundle.policies[i] for i in portfolio.rows))
    numbers = table(info)
    st.dataframe(numbers, hide_index=True)
    st.download_button(
        "Numbers as CSV", numbers.to_csv(index=False), f"{bundle.manifest.name}-tradeoff.csv", "text/csv"
    )


show()
