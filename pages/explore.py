"""Explore: drag the sliders, see which member answers, how much is lost, and read the answers."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import cache, charts, state
from app.components.answers import answer_card, weights_bar
from app.components.sidebar import open_bundle
from palm_engine.bundle import Bundle
from palm_engine.explore import PickInfo, pick_info
from palm_engine.manifest import Candidate

TRAIT_COLOURS = ("#2f5d8a", "#c96f4a", "#6b8f3c", "#8a5a9e", "#b8973d", "#3d8f8a", "#a34d5f", "#7a7a7a")
PLOT = {"displaylogo": False, "modeBarButtonsToRemove": ["zoom2d", "pan2d", "select2d", "lasso2d", "autoScale2d"]}


def sliders(bundle: Bundle) -> None:
    """One slider a trait, and what they come to."""
    st.subheader("What matters to you?")
    for trait, value in zip(bundle.traits, state.raw_weights(bundle), strict=True):
        st.slider(trait, 0, 100, value, key=state.slider_key(bundle, trait), persist_state="session")
    weights_bar(bundle.traits, list(state.weights(bundle)), TRAIT_COLOURS[: len(bundle.traits)])
    if not any(state.raw_weights(bundle)):
        st.caption("All sliders are at zero: no preference is taken as equal weights.")


def describe(candidate: Candidate) -> str:
    """What kind of policy this is, in a sentence."""
    runs = f'under the system prompt "{candidate.system}"' if candidate.system else "under the plain system prompt"
    if candidate.kind == "adapter" and candidate.weights is not None:
        weights = ", ".join(f"{t} {w:.2f}" for t, w in candidate.weights.items())
        return f"An adapter trained for {weights}; runs {runs}."
    return f"The base model, not trained; runs {runs}."


def gaps(bundle: Bundle, portfolio: state.Portfolio, pick: PickInfo) -> None:
    """The gap at these weights, and the worst one anywhere with its scope and bound."""
    here, worst = st.columns(2)
    relative = "" if pick.relative_gap is None else f"{1 - pick.relative_gap:.1%} of the best candidate's value"
    here.metric("Gap at your weights", f"{pick.gap:.4f}", help="Best candidate's value minus the picked member's.")
    here.caption(f"{relative} (scope: candidates)")
    exact = cache.exact_gap(bundle, portfolio.rows)
    worst.metric("Worst gap anywhere", f"{exact.additive:.4f}", help="Exact maximum over the whole simplex of weights.")
    at = ", ".join(f"{t} {w:.2f}" for t, w in zip(bundle.traits, exact.at_weights_additive, strict=True))
    line = f"at {at} (scope: {portfolio.scope}, whole simplex)"
    if portfolio.bound is not None:
        bound = portfolio.bound
        line += f"; {bound.confidence:.0%} bound {bound.upper:.4f} from {bound.prompts} prompts"
    worst.caption(line)


def answers(bundle: Bundle, portfolio: state.Portfolio, pick: PickInfo) -> None:
    """Recorded answers of the picked member, the base, and the best candidate where it is another one."""
    st.subheader("What they answer")
    if bundle.prompts.empty or bundle.samples.empty:
        st.info("This portfolio has no recorded answers; it holds rewards only.", icon=":material/chat_bubble:")
        return
    prompt_id = _pick_prompt(bundle)
    colours = charts.palette(len(portfolio.rows))
    shown = [(bundle.policies[pick.member], "picked at your weights", colours[portfolio.rows.index(pick.member)])]
    if "base" in bundle.policies and pick.member != bundle.policies.index("base"):
        shown.append(("base", "the model before any training", "#9aa7b5"))
    if pick.best != pick.member:
        shown.append((bundle.policies[pick.best], "best candidate at your weights, not a member", "#6b7a8a"))
    elif pick.runner_up is not None and bundle.policies[pick.runner_up] != "base":
        shown.append(
            (bundle.policies[pick.runner_up], "runner-up member", colours[portfolio.rows.index(pick.runner_up)])
        )
    recorded = bundle.answers(prompt_id, [name for name, _, _ in shown])
    for column, (name, why, colour) in zip(st.columns(len(shown)), shown, strict=True):
        rows = recorded[recorded["policy"] == name]
        with column:
            if rows.empty:
                answer_card(name, why, "No answer of this model to this prompt was recorded.", {}, colour)
                continue
            row = rows.iloc[0]
            scores = {t: float(row[t]) for t in bundle.traits}
            answer_card(name, f"{why} · {int(row['tokens'])} tokens", str(row["text"]), scores, colour)
    st.caption("Recorded answers, shown as they came. Scores are of each answer by itself.")


def _pick_prompt(bundle: Bundle) -> str:
    prompts = bundle.prompts
    answered = prompts[(prompts["split"] != "train") & prompts["prompt_id"].isin(set(bundle.samples["prompt_id"]))]
    prompts = answered if not answered.empty else prompts
    texts: pd.Series = prompts.set_index("prompt_id")["text"]
    first = [p for p in bundle.manifest.curated_prompts if p in texts.index]
    order = [*first, *(p for p in texts.index if p not in first)]
    picked = st.selectbox(
        "Prompt", order, format_func=lambda p: str(texts[p]), key=state.prompt_key(bundle), persist_state="session"
    )
    return str(picked)


def show() -> None:
    """The page."""
    bundle = open_bundle()
    portfolio = cache.portfolio(bundle)
    st.title("Which model answers you?")
    if portfolio is None:
        st.info(
            "Nothing is selected in this portfolio yet. Choose a size on the Trade-off page.",
            icon=":material/show_chart:",
        )
        st.page_link("../pages/tradeoff.py", label="Go to Trade-off")
        return
    st.caption(f"{len(portfolio.rows)} members: {portfolio.label}")
    left, right = st.columns([2, 3], gap="large")
    with left:
        sliders(bundle)
        pick = pick_info(bundle.points, list(portfolio.rows), state.weights(bundle))
        colour = charts.palette(len(portfolio.rows))[portfolio.rows.index(pick.member)]
        st.subheader("Picked member")
        answer_line = bundle.policies[pick.member]
        st.markdown(f"#### :material/smart_toy: `{answer_line}`")
        st.text(describe(bundle.candidate(answer_line)))
        gaps(bundle, portfolio, pick)
    with right:
        if len(bundle.traits) <= 3:
            figure = charts.member_map(bundle, cache.map_info(bundle, portfolio.rows), pick)
        else:
            figure = charts.value_bars(bundle, pick, portfolio.rows)
        st.plotly_chart(figure, key="member_map", config=PLOT, alt=f"Picked at your weights: {answer_line}")
        st.plotly_chart(charts.trait_bars(bundle, pick, colour), key="trait_bars", config=PLOT, alt="Rewards by trait")
    answers(bundle, portfolio, pick)


show()
