"""The cost panel: training, once, and serving, every month, under editable assumptions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import streamlit as st

from app import cache, settings
from app.components import figure
from app.components.guide import expert
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.hosting_cost import Assumptions, by_size, training
from palm_engine.analysis.plan import trained_before
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import BundleError
from palm_engine.lm.adapters.files import adapter_parameters

CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY")
PLACES = {"GPU memory (GB)": 3, "serving per month": 0}


def adapter_megabytes(bundle: Bundle) -> float | None:
    """Mean size on a GPU of the members' adapters in MB; None where none is in the bundle.

    Two bytes a parameter, as for the base: files may be larger.
    """
    own = [bundle.manifest.candidates[i] for i in bundle.members] or bundle.manifest.candidates
    folders = []
    for candidate in own:
        with suppress(BundleError):
            folders.append(bundle.adapter_folder(candidate.policy))
    sizes = [n for n in map(adapter_parameters, folders) if n]
    return 2 * sum(sizes) / len(sizes) / 1e6 if sizes else None


# What is assumed of a bundle until somebody says otherwise; a base and adapters are measured.
FIRST = {"gpu": 24.0, "hours": 1.0, "price": 2.0, "currency": CURRENCIES[0]}


def _first(bundle: Bundle) -> dict[str, Any]:
    source = None if bundle.manifest.base is None else bundle.manifest.base.source
    held = None if source is None else cache.base_gigabytes(source)
    measured = adapter_megabytes(bundle)
    return FIRST | {"base_gb": round(held or 1.0, 2), "adapter_mb": round(measured or 50.0, 1)}


def assumptions(bundle: Bundle) -> tuple[Assumptions, str]:
    """What is assumed of serving a bundle, as it was last set, and the currency."""
    first = _first(bundle)
    now = {}
    for kind, value in first.items():
        kept = settings.kept(f"{kind}.{bundle.folder.name}")
        now[kind] = value if kept is None else kept
    found = Assumptions(now["base_gb"], now["adapter_mb"], now["hours"], now["price"], now["gpu"])
    return found, str(now["currency"])


def ask(bundle: Bundle) -> tuple[Assumptions, str]:
    """The assumptions, to be edited, and the currency."""
    name = bundle.folder.name
    first = _first(bundle)
    source = None if bundle.manifest.base is None else bundle.manifest.base.source
    held = None if source is None else cache.base_gigabytes(source)
    measured = adapter_megabytes(bundle)

    def key(kind: str, among: Sequence[str] | None = None) -> str:
        return settings.seed(f"{kind}.{name}", first[kind], among=among)

    one, two, three = st.columns(3)
    one.number_input(
        "Base model on the GPU (GB)",
        0.0,
        2000.0,
        step=0.5,
        key=key("base_gb"),
        help=(
            f"Measured: {held:.2f} GB, the base's parameters at two bytes each. Its cache comes on"
            " top: some tenths of a GB per answer at once."
            if held
            else "An assumption: the base isn't on this machine."
        ),
    )
    two.number_input(
        "One adapter on the GPU (MB)",
        0.0,
        100_000.0,
        step=1.0,
        key=key("adapter_mb"),
        help=(
            f"Measured: mean of the members, {measured:.1f} MB at two bytes a parameter."
            if measured
            else "An assumption."
        ),
    )
    three.number_input("Memory of a GPU (GB)", 1.0, 2000.0, step=8.0, key=key("gpu"))
    four, five, six = st.columns(3)
    four.number_input("Training one adapter (GPU hours)", 0.0, 10_000.0, step=0.5, key=key("hours"))
    five.number_input("Price of a GPU hour", 0.0, 1000.0, step=0.5, key=key("price"))
    six.selectbox("Currency", CURRENCIES, key=key("currency", CURRENCIES))
    return assumptions(bundle)


def trained_in(bundle: Bundle) -> tuple[int, int]:
    """How many adapters were trained to choose from: in the build's last round, and before."""
    m = bundle.manifest
    last = sum(
        c.kind == "adapter" and (c.adapter is not None or c.weights is not None)
        for c in (*m.candidates, *m.outside)
    )
    return last, trained_before(dict(m.built.config), last)


def rounds_text(last: int, before: int) -> str:
    """How many trainings that is, in words; "" where there was one round."""
    return f", after {before} in earlier rounds, {last + before} trainings" if before else ""


def served_adapters(bundle: Bundle, members: Sequence[str]) -> int:
    """How many adapters the members hold beside the base; a mixture holds its parts'."""
    held = set()
    for member in map(bundle.candidate, members):
        held |= {member.policy} if member.kind in ("adapter", "soup") else set(member.mixture or ())
    return len(held)


def cost_panel(
    bundle: Bundle, info: CurveInfo, averages: Sequence[float], in_use: int | None
) -> None:
    """Editable assumptions and the answer to "what does one more member buy"."""
    st.subheader("What it costs")
    st.caption("Assumptions, to be edited: all members share one base, and each has its adapter.")
    assumed, currency = ask(bundle)
    last, before = trained_in(bundle)
    spent = training(last + before, assumed)
    if spent.adapters:
        st.text(
            f"Training, once: {last} adapters were trained to choose"
            f" from{rounds_text(last, before)}: {spent.hours:,.1f} GPU hours,"
            f" {spent.price:,.2f} {currency}. That is spent, whatever size is chosen: one more"
            " member needs no further training."
        )
    adapters = [served_adapters(bundle, members) for members in info.members]
    table = by_size(info.sizes, info.measured, averages, adapters, assumed)
    sizes = list(info.sizes)
    if in_use in sizes and sizes.index(in_use) + 1 < len(sizes):
        now, more = (table.iloc[sizes.index(in_use) + j] for j in (0, 1))
        month = more["serving per month"] - now["serving per month"]
        memory = 1000 * (more["GPU memory (GB)"] - now["GPU memory (GB)"])
        st.text(
            f"One more, from {in_use} to {in_use + 1}: the worst gap goes from"
            f" {now['worst gap']:.4f} to {more['worst gap']:.4f}, the average loss from"
            f" {now['average loss']:.4f} to {more['average loss']:.4f}, for"
            f" {memory:+.1f} MB of GPU memory and"
            f" {month:+,.2f} {currency} per month."
        )
    figure.table(table, f"{bundle.manifest.name}-costs", f"costs.{bundle.folder.name}", PLACES)
    st.caption(
        f"Serving: {currency} for GPUs that run all month (730 hours)."
        + expert(" Scope: candidates.")
    )
