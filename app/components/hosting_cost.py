"""The cost panel: what one more member buys, and what it costs under editable assumptions."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.components import figure
from app.errors import shows_errors
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.hosting_cost import Assumptions, cost_of
from palm_engine.bundle.folder import Bundle

PLACES = {"GPU memory (GB)": 3, "training (GPU hours)": 1, "training (price)": 2}


def adapter_megabytes(bundle: Bundle) -> float | None:
    """Mean size of the bundle's own adapters in MB; None where it ships none."""
    inside = bundle.folder.resolve()
    files = [f.resolve() for f in (bundle.folder / "adapters").glob("*/adapter_model.safetensors")]
    sizes = [f.stat().st_size for f in files if f.is_relative_to(inside)]
    return sum(sizes) / len(sizes) / 2**20 if sizes else None


def ask(bundle: Bundle) -> Assumptions:
    """The assumptions; an adapter's size is measured where there are some."""
    name = bundle.folder.name
    measured = adapter_megabytes(bundle)
    one, two, three, four = st.columns(4)
    base = one.number_input(
        "Base model on the GPU (GB)", 0.0, 2000.0, 1.0, 0.5, key=f"base_gb.{name}"
    )
    size = two.number_input(
        "One adapter on the GPU (MB)",
        0.0,
        100_000.0,
        round(measured or 50.0, 1),
        1.0,
        key=f"adapter_mb.{name}",
        help=(
            f"Measured: mean of this bundle's files, {measured:.1f} MB."
            if measured
            else "An assumption."
        ),
    )
    hours = three.number_input(
        "Training one adapter (GPU hours)", 0.0, 10_000.0, 1.0, 0.5, key=f"hours.{name}"
    )
    price = four.number_input("Price of a GPU hour", 0.0, 1000.0, 2.0, 0.5, key=f"price.{name}")
    return Assumptions(base, size, hours, price)


def cost_table(bundle: Bundle, info: CurveInfo, assumed: Assumptions) -> pd.DataFrame:
    """One row per size: worst gap, what one more member bought, and what it costs."""
    kinds = {c.policy: c.kind for c in bundle.manifest.candidates}
    adapters = [sum(kinds[m] == "adapter" for m in members) for members in info.members]
    return costs(info.sizes, info.certify or info.choose, adapters, assumed)


def costs(
    sizes: Sequence[int], gaps: Sequence[float], adapters: Sequence[int], assumed: Assumptions
) -> pd.DataFrame:
    """One row per size, of which `adapters` are trained.

    Worst gap, what one more bought, memory, hours, price.
    """
    rows = []
    for i, (size, gap, trained) in enumerate(zip(sizes, gaps, adapters, strict=True)):
        cost = cost_of(trained, assumed)
        rows.append(
            {
                "members": size,
                "worst gap": gap,
                "one more bought": gaps[i - 1] - gap if i else None,
                "GPU memory (GB)": cost.memory_gb,
                "training (GPU hours)": cost.train_hours,
                "training (price)": cost.price,
            }
        )
    return pd.DataFrame(rows)


@st.fragment
@shows_errors
def cost_panel(bundle: Bundle, info: CurveInfo, in_use: int | None) -> None:
    """Editable assumptions and the answer to "what does one more member buy"."""
    st.subheader("What one more member buys")
    st.caption(
        "Assumptions, to be edited: all members share one base, each adapter is held beside it."
    )
    assumed = ask(bundle)
    table = cost_table(bundle, info, assumed)
    sizes = list(info.sizes)
    if in_use in sizes and sizes.index(in_use) + 1 < len(sizes):
        now, more = (table.iloc[sizes.index(in_use) + j] for j in (0, 1))
        change = more["worst gap"] - now["worst gap"]
        st.text(
            f"From {in_use} to {in_use + 1} members the best portfolio's worst gap goes from"
            f" {now['worst gap']:.4f} to {more['worst gap']:.4f} ({change:+.4f}, scope:"
            f" candidates), for {more['training (GPU hours)'] - now['training (GPU hours)']:+.1f}"
            f" GPU hours, {more['training (price)'] - now['training (price)']:+.2f} of training and"
            f" {1024 * (more['GPU memory (GB)'] - now['GPU memory (GB)']):+.1f} MB of GPU memory."
        )
    figure.table(table, f"{bundle.manifest.name}-costs", f"costs.{bundle.folder.name}", PLACES)
