"""Plan: what to train, decided in closed form on the bundle's pool, before any training."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import cache, charts, jobs, settings
from app.components import figure
from app.components import panel as atlas
from app.components.header import open_bundle
from app.components.hosting_cost import PLACES, ask, costs
from palm_engine.analysis.hosting_cost import training
from palm_engine.analysis.plan import (
    REFERENCE,
    PlanInfo,
    adapters_built,
    average_value,
    plan_config,
)
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import ConfigError
from palm_engine.selection.result import Target

BETAS = (0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
LEAST = 6
MOST = 8


def choose_beta(bundle: Bundle) -> float:
    """The temperature of the plan; the bundle's own at first."""
    own = min(bundle.manifest.beta, default=0.03)
    options = sorted({*BETAS, own})
    return float(
        st.select_slider(
            "beta: how much keeping close to the reference counts",
            options,
            key=settings.seed(f"beta.{bundle.folder.name}", own),
            help="Small: members go far for reward. Large: they stay near what the reference says.",
        )
    )


def choose_target(name: str) -> Target | None:
    """A budget k, or a tolerance (eps, delta); None while both tolerances are 0."""
    kind = st.segmented_control(
        "Target",
        ["Number of members", "Tolerance"],
        key=settings.seed(f"target.{name}", "Number of members"),
        required=True,
    )
    if kind != "Tolerance":
        return Target(k=int(st.slider("Members (k)", 1, MOST, key=settings.seed(f"k.{name}", 5))))
    left, right = st.columns(2)
    eps = left.number_input(
        "eps (share of the best value)",
        0.0,
        0.5,
        step=0.01,
        format="%.3f",
        key=settings.seed(f"eps.{name}", 0.0),
    )
    delta = right.number_input(
        "delta (reward units)",
        0.0,
        0.5,
        step=0.005,
        format="%.3f",
        key=settings.seed(f"delta.{name}", 0.02),
    )
    if eps == 0 and delta == 0:
        st.info("Give eps or delta above 0.")
        return None
    return Target(eps=eps, delta=delta)


def results(
    bundle: Bundle, traits: list[str], beta: float, info: PlanInfo, with_kl_cost: bool
) -> None:
    """The predicted gap, the members on the map, what one more costs, and the files to build it."""
    chosen = info.chosen
    policies = info.policies
    k = len(chosen.members)
    proved = chosen.proved
    one, two, three, four = st.columns(4)
    one.metric(
        "Planned members",
        k,
        help="Proved to be the fewest or best" if proved else "Best found in time",
    )
    two.metric(
        "Predicted worst gap",
        f"{chosen.gap.additive:.4f}",
        help="Scope: pool. Trained members fall short.",
    )
    multiplicative = chosen.gap.multiplicative
    three.metric(
        "Predicted multiplicative gap",
        "not defined" if multiplicative is None else f"{multiplicative:.1%}",
        help=chosen.gap.undefined or "Share of the best planned value that is lost. Scope: pool.",
    )
    four.metric(
        "Value for the average user",
        f"{average_value(policies, chosen.members):.3f}",
        help=(
            "Mean planned value of uniform users (scope: pool). Look at it beside the gap: a large"
            " beta makes the gap small by making everything worse."
        ),
    )
    st.caption(
        f"Scope: pool (all {len(policies.names)} planned policies, whole simplex; few samples"
        " per prompt underestimate what is possible). No model was trained for these figures."
        + ("" if proved else " Not proved in the time given: a better plan may exist.")
    )
    left, right = st.columns(2)
    with left:
        title = "Where each planned member would be picked"
        atlas.panel(
            bundle,
            atlas.plan_view(bundle, traits, info, title, with_kl_cost),
            f"plan.{'-'.join(traits)}",
        )
    sizes = [len(s.members) for s in info.curve]
    gaps = [s.gap.additive for s in info.curve]
    numbers = pd.DataFrame(
        {
            "members": sizes,
            "planned worst gap": gaps,
            "value for the average user": [average_value(policies, s.members) for s in info.curve],
            "proved at least": [s.gap_lower_bound for s in info.curve],
        }
    )
    with right:
        figure.show(
            charts.plan_curve(info, (k, chosen.gap.additive)),
            numbers,
            f"{bundle.manifest.name}-plan-curve",
            f"plan_curve.{bundle.folder.name}",
            "Planned worst gap by portfolio size",
        )
    st.subheader("What it costs")
    st.caption("Planned gaps (scope: pool); assumptions, to be edited.")
    assumed, currency = ask(bundle)
    built = adapters_built(dict(bundle.manifest.built.config), k, len(traits))
    if built:
        once = training(built, assumed)
        st.text(
            f"Training, once: the configuration below trains {built} adapters, the planned members"
            f" among them, so that there is something to choose from: {once.hours:,.1f} GPU hours,"
            f" {once.price:,.2f} {currency}."
        )
    table = costs(
        sizes,
        gaps,
        [sum(policies.names[i] != REFERENCE for i in s.members) for s in info.curve],
        assumed,
    )
    figure.table(
        table, f"{bundle.manifest.name}-plan-costs", f"plan_costs.{bundle.folder.name}", PLACES
    )
    st.subheader("What to train")
    rows = [
        {"member": policies.names[i]}
        | {
            f"weight of {t}": w
            for t, w in zip(traits, map(float, policies.weights[i]), strict=True)
        }
        | {f"planned {t}": v for t, v in zip(traits, map(float, policies.rewards[i]), strict=True)}
        | {"KL cost (beta KL)": float(policies.kl_cost[i])}
        for i in chosen.members
    ]
    figure.table(
        pd.DataFrame(rows), f"{bundle.manifest.name}-plan", f"plan_table.{bundle.folder.name}"
    )
    build(bundle, traits, beta, k, with_kl_cost)


def build(bundle: Bundle, traits: list[str], beta: float, k: int, with_kl_cost: bool) -> None:
    """The configuration and the command that build this plan."""
    st.subheader("Build it")
    if with_kl_cost:
        st.info(
            "`palm build` evaluates rewards only, so a plan that counts the KL cost can be looked"
            " at, not built. Switch the KL cost off for a configuration.",
            icon=":material/architecture:",
        )
        return
    name = f"{bundle.manifest.name}-plan"
    try:
        text = plan_config(dict(bundle.manifest.built.config), name, traits, beta, k)
    except ConfigError as error:
        st.info(str(error)[0].upper() + str(error)[1:] + ".")
        return
    st.download_button(
        "Configuration (TOML)",
        text,
        f"{name}.toml",
        "application/toml",
        icon=":material/download:",
        on_click="ignore",
    )
    st.text("Save it in configs/ and run, from the project's folder:")
    st.code(f"palm build configs/{name}.toml --out portfolios/{name}", language="shell")
    st.caption(
        "The build draws and scores a pool of its own, plans on it as here, then trains, evaluates,"
        " certifies."
    )


def show() -> None:
    """The page."""
    bundle = open_bundle("What should be trained?")
    name = bundle.folder.name
    rewards = bundle.pool_rewards
    if rewards is None:
        st.info(
            "This bundle has no pool (pool.parquet: scored samples of the reference), so nothing"
            " can be planned on it. `palm build` makes one; the demo portfolio has one.",
            icon=":material/architecture:",
        )
        return
    st.caption(
        f"In closed form, from {rewards.shape[0]} prompts with {rewards.shape[1]} scored samples"
        " each: the optimum for any weights is known without training, so the best portfolio can"
        " be found first."
    )
    left, right = st.columns(2)
    with left:
        traits = st.pills(
            "Traits",
            bundle.traits,
            format_func=dict(zip(bundle.traits, bundle.trait_labels, strict=True)).__getitem__,
            selection_mode="multi",
            key=settings.seed(f"on.{name}", bundle.traits),
            wrap=True,
        )
        beta = choose_beta(bundle)
    with right:
        target = choose_target(name)
        with_kl_cost = st.toggle(
            "Count the KL cost (reward minus beta KL)",
            key=settings.seed(f"cost.{name}", bundle.with_cost),
            help="Off: expected reward only, as evaluated portfolios are. The two are never mixed.",
        )
    traits = [t for t in bundle.traits if t in traits]
    if len(traits) < 2:
        st.info("Switch on at least two traits: with one there is nothing to trade.")
        return
    if target is None:
        return
    # Larger portfolios take longest to prove: one size beyond what is asked shows what one more
    # buys.
    sizes = max(LEAST, min((target.k or 0) + 1, MOST))
    info = jobs.result_of(
        f"plan.{name}.{cache.stamp(bundle)}.{traits}.{beta}.{target}.{with_kl_cost}",
        "Planning",
        lambda report: cache.planned(
            str(bundle.folder),
            cache.stamp(bundle),
            tuple(traits),
            beta,
            (target.k, target.eps, target.delta),
            with_kl_cost,
            sizes,
            report,
        ),
    )
    if info is not None:
        results(bundle, traits, beta, info, with_kl_cost)


show()
