"""The cost panel: training, once, and serving, every month, under editable assumptions."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import cache
from app.components import figure
from app.errors import shows_errors
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.hosting_cost import Assumptions, serving, training
from palm_engine.bundle.folder import Bundle

CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY")
PLACES = {"GPU memory (GB)": 3, "serving per month": 0}


def adapter_megabytes(bundle: Bundle) -> float | None:
    """Mean size of the bundle's own adapters in MB; None where it ships none."""
    inside = bundle.folder.resolve()
    files = [f.resolve() for f in (bundle.folder / "adapters").glob("*/adapter_model.safetensors")]
    sizes = [f.stat().st_size for f in files if f.is_relative_to(inside)]
    return sum(sizes) / len(sizes) / 1e6 if sizes else None


def ask(bundle: Bundle) -> tuple[Assumptions, str]:
    """The assumptions, and the currency; an adapter's size is measured where there are some."""
    name = bundle.folder.name
    measured = adapter_megabytes(bundle)
    one, two, three = st.columns(3)
    source = None if bundle.manifest.base is None else bundle.manifest.base.source
    held = None if source is None else cache.base_gigabytes(source)
    base = one.number_input(
        "Base model on the GPU (GB)",
        0.0,
        2000.0,
        round(held or 1.0, 2),
        0.5,
        key=f"base_gb.{name}",
        help=(
            f"Measured: {held:.2f} GB, the base's parameters at two bytes each. Its cache comes on"
            " top: some tenths of a GB per answer at once."
            if held
            else "An assumption: the base isn't on this machine."
        ),
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
    memory = three.number_input("Memory of a GPU (GB)", 1.0, 2000.0, 24.0, 8.0, key=f"gpu.{name}")
    four, five, six = st.columns(3)
    hours = four.number_input(
        "Training one adapter (GPU hours)", 0.0, 10_000.0, 1.0, 0.5, key=f"hours.{name}"
    )
    price = five.number_input("Price of a GPU hour", 0.0, 1000.0, 2.0, 0.5, key=f"price.{name}")
    currency = six.selectbox("Currency", CURRENCIES, key=f"currency.{name}")
    return Assumptions(base, size, hours, price, memory), str(currency)


def trained_in(bundle: Bundle) -> int:
    """How many adapters were trained to choose from."""
    return sum(
        c.kind == "adapter" and (c.adapter is not None or c.weights is not None)
        for c in bundle.manifest.candidates
    )


def costs(
    sizes: Sequence[int], gaps: Sequence[float], adapters: Sequence[int], assumed: Assumptions
) -> pd.DataFrame:
    """One row per size, of which `adapters` are served beside the base."""
    rows = []
    for i, (size, gap, served) in enumerate(zip(sizes, gaps, adapters, strict=True)):
        cost = serving(served, assumed)
        rows.append(
            {
                "members": size,
                "worst gap": gap,
                "one more bought": gaps[i - 1] - gap if i else None,
                "GPU memory (GB)": cost.memory_gb,
                "GPUs": cost.gpus,
                "serving per month": cost.per_month,
            }
        )
    return pd.DataFrame(rows)


def served_adapters(bundle: Bundle, members: Sequence[str]) -> int:
    """How many adapters the members hold beside the base; a mixture holds its parts'."""
    held = set()
    for member in map(bundle.candidate, members):
        held |= {member.policy} if member.kind in ("adapter", "soup") else set(member.mixture or ())
    return len(held)


@st.fragment
@shows_errors
def cost_panel(bundle: Bundle, info: CurveInfo, in_use: int | None) -> None:
    """Editable assumptions and the answer to "what does one more member buy"."""
    st.subheader("What it costs")
    st.caption("Assumptions, to be edited: all members share one base, and each has its adapter.")
    assumed, currency = ask(bundle)
    spent = training(trained_in(bundle), assumed)
    if spent.adapters:
        st.text(
            f"Training, once: {spent.adapters} adapters were trained to choose from:"
            f" {spent.hours:,.1f} GPU hours, {spent.price:,.2f} {currency}. That is spent, whatever"
            " size is chosen: one more member needs no further training."
        )
    adapters = [served_adapters(bundle, members) for members in info.members]
    table = costs(info.sizes, info.measured, adapters, assumed)
    sizes = list(info.sizes)
    if in_use in sizes and sizes.index(in_use) + 1 < len(sizes):
        now, more = (table.iloc[sizes.index(in_use) + j] for j in (0, 1))
        change = more["worst gap"] - now["worst gap"]
        month = more["serving per month"] - now["serving per month"]
        memory = 1024 * (more["GPU memory (GB)"] - now["GPU memory (GB)"])
        st.text(
            f"One more, from {in_use} to {in_use + 1}: the worst gap goes from"
            f" {now['worst gap']:.4f} to {more['worst gap']:.4f} ({change:+.4f}), for"
            f" {memory:+.1f} MB of GPU memory and"
            f" {month:+,.2f} {currency} per month."
        )
    figure.table(table, f"{bundle.manifest.name}-costs", f"costs.{bundle.folder.name}", PLACES)
    st.caption(f"Serving: {currency} for GPUs that run all month (730 hours). Scope: candidates.")
