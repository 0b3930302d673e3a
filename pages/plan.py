"""Plan: what to train, decided in closed form on the bundle's pool, before any training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app import cache, charts, jobs, settings, state
from app.components import figure
from app.components import panel as atlas
from app.components.guide import expert, say
from app.components.header import lead_on, open_bundle
from app.components.hosting_cost import PLACES, ask, rounds_text
from app.components.panel_view import Field
from app.errors import shows_errors
from palm_engine.analysis.hosting_cost import by_size, training
from palm_engine.analysis.plan import (
    REFERENCE,
    PlanInfo,
    average_value,
    moved,
    plan_config,
    trainings_planned,
)
from palm_engine.analysis.story import expected_gaps
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import ConfigError
from palm_engine.geometry.simplex import named_weights
from palm_engine.selection.result import Selection, Target

BETAS = (0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
TARGETS = ("Number of members", "Tolerance")
ON_MAP = ("Members", "Gap")
LEAST = 6
MOST = 8


def own_size(bundle: Bundle) -> int:
    """How many members the bundle's own plan had; five where none was made."""
    section = dict(bundle.manifest.built.config).get("selection")
    size = section.get("k") if isinstance(section, dict) else None
    return min(max(size, 1), MOST) if isinstance(size, int) else 5


def choose_beta(bundle: Bundle) -> float:
    """The temperature of the plan; the bundle's own at first."""
    own = min(bundle.manifest.beta, default=0.03)
    options = sorted({*BETAS, own})
    return float(
        st.select_slider(
            f"How close members stay to the base model{expert(' (beta)')}",
            options,
            key=settings.seed(f"beta.{bundle.folder.name}", own),
            help="Small: members go far for reward. Large: they stay near what the reference says.",
        )
    )


def choose_target(name: str, own: int) -> Target | None:
    """A budget, `own` at first, or a tolerance (eps, delta); None while both tolerances are 0."""
    kind = st.segmented_control(
        "Target",
        TARGETS,
        key=settings.seed(f"target.{name}", "Number of members", among=TARGETS),
        required=True,
    )
    if kind != "Tolerance":
        key = settings.seed(f"k.{name}", own, 1, MOST)
        return Target(k=int(st.slider("Members", 1, MOST, key=key)))
    left, right = st.columns(2)
    eps = left.number_input(
        f"Share of the best value that may be lost{expert(' (eps)')}",
        0.0,
        0.5,
        step=0.01,
        format="%.3f",
        key=settings.seed(f"eps.{name}", 0.0),
    )
    delta = right.number_input(
        f"Reward units that may be lost{expert(' (delta)')}",
        0.0,
        0.5,
        step=0.005,
        format="%.3f",
        key=settings.seed(f"delta.{name}", 0.02),
    )
    if eps == 0 and delta == 0:
        st.info("Give one of the two above 0.")
        return None
    return Target(eps=eps, delta=delta)


@st.fragment
@shows_errors
def results(
    bundle: Bundle, traits: list[str], beta: float, info: PlanInfo, with_kl_cost: bool, plan: str
) -> None:
    """The members on the map, to be moved; what they give, cost, and the files to build them."""
    policies = info.policies
    rows = state.planned_members(bundle, plan, len(policies.names))
    if rows is not None and len(rows) != len(info.chosen.members):
        rows = None  # of another plan, as somebody typed it
    is_moved = rows is not None and rows != info.chosen.members
    shown = moved(info, rows) if rows is not None and is_moved else info.chosen
    _figures(info, shown)
    st.caption(
        "No model was trained for these figures."
        + expert(
            f" Scope: pool (all {len(policies.names)} planned policies, whole simplex; few samples"
            " per prompt underestimate what is possible)."
        )
        + ("" if info.chosen.proved else " Not proved in the time given: a better plan may exist.")
    )
    left, right = st.columns(2)
    with left:
        _map(bundle, traits, info, shown, with_kl_cost, plan, is_moved)
    with right:
        _curve(bundle, info, shown)
    _costs(bundle, info, shown, len(traits))
    st.subheader("What to train")
    table = [
        {"member": number}
        | {
            f"weight of {t}": w
            for t, w in zip(traits, map(float, policies.weights[i]), strict=True)
        }
        | {f"planned {t}": v for t, v in zip(traits, map(float, policies.rewards[i]), strict=True)}
        | {
            "KL cost (beta KL)" if state.is_expert() else "cost of leaving the base": float(
                policies.kl_cost[i]
            )
        }
        for number, i in enumerate(shown.members, start=1)
    ]
    figure.table(
        pd.DataFrame(table), f"{bundle.manifest.name}-plan", f"plan_table.{bundle.folder.name}"
    )
    weights = [named_weights(policies.weights[i], traits, 6) for i in shown.members]
    build(bundle, traits, beta, len(shown.members), with_kl_cost, weights if is_moved else [])
    state.write_url(bundle)


def _figures(info: PlanInfo, shown: Selection) -> None:
    """What the members give, and how that differs from the plan where they were moved."""
    policies, planned = info.policies, info.chosen
    is_moved = shown is not planned
    one, two, three, four = st.columns(4)
    about = "Proved to be the fewest or best" if planned.proved else "Best found in time"
    one.metric("Planned members", len(shown.members), help="Moved by hand" if is_moved else about)
    worse = shown.gap.additive - planned.gap.additive
    two.metric(
        "Predicted worst gap",
        f"{shown.gap.additive:.4f}",
        f"{worse:+.4f} to the plan" if is_moved else None,
        delta_color="inverse",
        help="Trained members fall short.",
    )
    share = shown.gap.multiplicative
    three.metric(
        "Predicted gap in percent",
        "not defined" if share is None else f"{share:.1%}",
        help=shown.gap.undefined or "Share of the best planned value that is lost.",
    )
    average = average_value(policies, shown.members)
    four.metric(
        "Value for the average user",
        f"{average:.3f}",
        f"{average - average_value(policies, planned.members):+.3f} to the plan"
        if is_moved
        else None,
        help=(
            "Mean planned value of uniform users. Look at it beside the gap: staying close to the"
            " base makes the gap small by making everything worse."
        ),
    )


def _map(
    bundle: Bundle,
    traits: list[str],
    info: PlanInfo,
    shown: Selection,
    with_kl_cost: bool,
    plan: str,
    is_moved: bool,
) -> None:
    policies = info.policies
    what, undo = st.columns([3, 2], vertical_alignment="bottom")
    field = what.segmented_control(
        "On the map",
        ON_MAP,
        key=settings.seed(f"plan_map.{bundle.folder.name}", ON_MAP[0], among=ON_MAP),
        required=True,
    )
    undo.button(
        "Back to the plan",
        icon=":material/undo:",
        disabled=not is_moved,
        key=f"unmove.{bundle.folder.name}",
        on_click=state.move_planned,
        args=(bundle, plan, None),
    )
    # Places on the grid that the browser knows: the reference has no weights.
    at = np.flatnonzero(~np.isnan(policies.weights).any(axis=1))

    def take(places: list[int]) -> None:
        if len(places) == len(shown.members) and all(-1 <= p < len(at) for p in places):
            now = [m if p < 0 else int(at[p]) for m, p in zip(shown.members, places, strict=True)]
            state.move_planned(bundle, plan, tuple(now))

    unit = "reward minus KL cost" if with_kl_cost else "reward units"
    on_map = Field(kind="gap", unit=f"gap ({unit})") if field == "Gap" else Field()
    title = "Drag a member's dot: gap, value and cost follow"
    view = atlas.plan_view(bundle, traits, info, shown, title, with_kl_cost, on_map)
    atlas.panel(bundle, view, f"plan.{'-'.join(traits)}", take)


def _curve(bundle: Bundle, info: PlanInfo, shown: Selection) -> None:
    numbers = pd.DataFrame(
        {
            "members": [len(s.members) for s in info.curve],
            "planned worst gap": [s.gap.additive for s in info.curve],
            "value for the average user": [
                average_value(info.policies, s.members) for s in info.curve
            ],
            "proved at least": [s.gap_lower_bound for s in info.curve],
        }
    )
    figure.show(
        charts.plan_curve(
            info,
            (len(shown.members), shown.gap.additive),
            list(numbers["value for the average user"]),
        ),
        numbers,
        f"{bundle.manifest.name}-plan-curve",
        f"plan_curve.{bundle.folder.name}",
        "What each further member buys: planned worst gap and average value by size",
    )


def _costs(bundle: Bundle, info: PlanInfo, shown: Selection, d: int) -> None:
    st.subheader("What it costs")
    st.caption(f"Planned gaps{expert(' (scope: pool)')}; assumptions, to be edited.")
    assumed, currency = ask(bundle)
    planned = trainings_planned(dict(bundle.manifest.built.config), len(shown.members), d)
    if planned:
        last, before = planned
        once = training(last + before, assumed)
        st.text(
            f"Training, once: the configuration below trains {last} adapters, the planned members"
            f" among them, so that there is something to choose from{rounds_text(last, before)}:"
            f" {once.hours:,.1f} GPU hours, {once.price:,.2f} {currency}."
        )
    # Of its size, the plan that is shown, which may have been moved by hand.
    plans = [shown if len(s.members) == len(shown.members) else s for s in info.curve]
    table = by_size(
        [len(s.members) for s in plans],
        [s.gap.additive for s in plans],
        expected_gaps(info.policies.points, [s.members for s in plans]),
        [len({info.policies.names[i] for i in s.members} - {REFERENCE}) for s in plans],
        assumed,
    )
    figure.table(
        table, f"{bundle.manifest.name}-plan-costs", f"plan_costs.{bundle.folder.name}", PLACES
    )


def build(
    bundle: Bundle,
    traits: list[str],
    beta: float,
    k: int,
    with_kl_cost: bool,
    members: list[dict[str, float]],
) -> None:
    """The configuration and the command that build this plan; `members` where they were moved."""
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
        text = plan_config(dict(bundle.manifest.built.config), name, traits, beta, k, members)
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
        "The build draws and scores sample answers of its own, "
        + ("trains at the weights above" if members else "plans on them as here, then trains")
        + ", evaluates and certifies."
    )


def show() -> None:
    """The page."""
    bundle = open_bundle("What should be trained?")
    name = bundle.folder.name
    rewards = bundle.pool_rewards
    if rewards is None:
        st.info(
            "This bundle has no scored sample answers (pool.parquet), so nothing can be planned on"
            " it. `palm build` makes them; the demo has some.",
            icon=":material/architecture:",
        )
        lead_on("tradeoff", "Trade-off", "show_chart")
        return
    say(
        f"From {rewards.shape[0]} prompts with {rewards.shape[1]} scored sample answers each the"
        " best model for any weights is known without training, so the best portfolio can be found"
        " first."
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
        target = choose_target(name, own_size(bundle))
        with_kl_cost = bundle.with_cost
        if state.is_expert():
            with_kl_cost = st.toggle(
                "Count the KL cost (reward minus beta KL)",
                key=settings.seed(f"cost.{name}", bundle.with_cost),
                help=(
                    "Off: expected reward only, as evaluated portfolios are. The two are never"
                    " mixed."
                ),
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
    plan = f"{traits}.{beta}.{target}.{with_kl_cost}"
    info = jobs.result_of(
        f"plan.{name}.{cache.stamp(bundle)}.{plan}",
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
        results(bundle, traits, beta, info, with_kl_cost, plan)


show()
