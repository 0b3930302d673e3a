"""Guarantee: the certificate in words and numbers, what is lost and where, diversity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from markupsafe import Markup

from app import cache, charts, settings, state
from app.colours import by_row, colours_of
from app.components import answers, figure
from app.components.export.report import report
from app.components.guide import expert, explained, say
from app.components.header import lead_on, open_bundle, open_portfolio
from app.components.templates import fill
from app.plain import inert
from palm_engine._csv import csv_text
from palm_engine.analysis import guarantee
from palm_engine.analysis.promise import promise
from palm_engine.analysis.worst_served import (
    WorstServed,
    furthest_behind,
    worst_served,
    worst_user,
)
from palm_engine.bundle.folder import Bundle

MOST_PROMPTS = 5


def certificate(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """The figures, the promise in sentences, and the downloads."""
    exact = cache.exact_gap(bundle, portfolio.rows)
    bound = portfolio.bound
    statements = guarantee.statements(bundle, portfolio.rows, bound)
    for statement in statements:
        if statement.warns:
            with st.container(border=True):
                st.markdown(f":material/warning: **{statement.heading}**")
                st.text(statement.text)
    told = promise(bundle, portfolio.rows, bound)
    # What somebody has asked for: what the slider begins with is met by itself.
    tolerance = state.tolerance(bundle)
    with st.container(border=True):
        st.html(fill("promise.html", promise=told, words=lambda text: Markup(explained(text))))
        figure.draw(
            charts.interval(told, tolerance),
            key=f"interval.{bundle.folder.name}",
            alt="Worst gap, its bound, and the best single model's worst gap",
            config={"displayModeBar": False},
        )
        _worst(bundle, portfolio)
    with st.expander("In full, with every figure"):
        for statement in statements:
            if not statement.warns:
                st.markdown(f"**{statement.heading}**")
                st.text(statement.text)
        st.text(
            f"Worst gap {exact.additive:.4f} ({expert('scope: candidates, ')}exact over all"
            f" weights{bundle.where_text})."
        )
    left, middle, right = st.columns(3)
    name = bundle.manifest.name
    middle.download_button(
        "Candidates as CSV",
        lambda: csv_text(bundle.candidates_table()),
        f"{name}-candidates.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        help="All evaluated policies with their rewards: palm select and palm import read it.",
    )
    left.download_button(
        "Certificate as JSON",
        lambda: json.dumps(guarantee.as_json(bundle, portfolio.rows, bound), indent=1),
        f"{name}-guarantee.json",
        "application/json",
        icon=":material/data_object:",
        on_click="ignore",
    )
    curve = cache.curve_at_once(bundle)
    right.download_button(
        "Report to print",
        lambda: report(bundle, portfolio.rows, bound, curve(), tolerance),
        f"{name}-guarantee.html",
        "text/html",
        icon=":material/print:",
        on_click="ignore",
    )


def _worst(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """The worst-served user on the card: where that is, what they want, and both answers."""
    found = worst_served(bundle.points, list(portfolio.rows), 1, bundle.region)
    if not found:
        return
    served = found[0]
    colours = by_row(bundle, portfolio.rows)
    user = worst_user(bundle, portfolio.rows)
    asked = ""
    if user is not None:
        text = bundle.prompts.set_index("prompt_id")["text"][user.prompt_id]
        asked = f" Asked: {text}"
    say(
        f"Served worst: who wants {bundle.weights_text(served.weights)}.{asked}",
        "worst-user",
        "font-weight:600;margin:.6rem 0",
    )
    left, right = st.columns([2, 3])
    with left:
        figure.draw(
            _pictured(bundle, portfolio, found, 0).update_layout(title="", height=260),
            key=f"worst_user.{bundle.folder.name}",
            alt="Where the user is who is served worst",
            config={"displayModeBar": False},
        )
    with right:
        if user is None:
            st.text(
                f"{bundle.labels[served.member]} is picked there; {bundle.labels[served.best]}"
                f" would give {served.gap:.4f} more."
            )
            return
        [best] = colours_of(bundle, [served.best])
        shown = [
            (bundle.policies[served.member], "picked member", colours[served.member]),
            (bundle.policies[served.best], "best candidate", colours.get(served.best, best)),
        ]
        answers.answer_cards(answers.recorded(bundle, user.prompt_id, shown))


def _pictured(
    bundle: Bundle, portfolio: state.Portfolio, found: Sequence[WorstServed], chosen: int
) -> go.Figure:
    colours = by_row(bundle, portfolio.rows)
    return charts.worst_places(
        np.array([s.weights for s in found]),
        np.array([s.gap for s in found]),
        [bundle.labels[s.member] for s in found],
        [colours[s.member] for s in found],
        bundle.trait_labels,
        chosen,
    )


def cards(bundle: Bundle) -> None:
    """What each trait's reward means, and how well it does."""
    for trait in bundle.manifest.traits:
        with st.container(border=True):
            st.markdown(f"**{inert(trait.label)}**")
            st.text(f"Reward: {trait.reward}. Normalisation: {trait.normalisation or 'none'}.")
            for key, value in (trait.card or {}).items():
                st.text(f"{key.replace('_', ' ').capitalize()}: {value}")
    audit = bundle.manifest.reward_audit
    if audit is None:
        return
    st.caption(
        f"The audit of these rewards on {audit.prompts} prompts ({inert(audit.split)}): answers"
        " that should not be paid, against the shipped members over all weights. A lead above"
        f" {audit.most_lead} anywhere fails it."
    )
    table = pd.DataFrame(
        [
            {
                "attack": a.kind,
                "tried": a.tried,
                "largest lead": a.lead,
                "at": bundle.weights_text(a.at_weights),
                "ahead for (share of users)": a.share,
                "lead over all candidates": a.lead_over_candidates,
                **_most(bundle, a.most),
                "answer": a.example,
            }
            for a in audit.attacks
        ]
        + [
            {"attack": name, **_most(bundle, most)}
            for name, most in (
                ("answers to other prompts", audit.shuffled),
                ("the members' own answers", audit.members),
            )
            if most is not None
        ]
    )
    figure.table(table, f"{bundle.manifest.name}-audit", f"audit.{bundle.folder.name}")


def _most(bundle: Bundle, most: dict[str, float] | None) -> dict[str, float]:
    """The largest mean reward of one of them, by what the traits are called."""
    labels = dict(zip(bundle.traits, bundle.trait_labels, strict=True))
    return {f"most {labels[t]}": x for t, x in (most or {}).items()}


def plans(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """Planned against reached value of every trained candidate."""
    rows = guarantee.planned_and_reached(bundle, portfolio.rows)
    st.subheader("Planned and reached")
    if not rows:
        st.info("Nothing was planned for this bundle's candidates; they were only evaluated.")
        lead_on("plan", "Plan", "architecture")
        return
    numbers = pd.DataFrame(
        [
            {
                "candidate": bundle.label(r.policy),
                "member": r.is_member,
                "planned": r.planned,
                "reached": r.reached,
                "short by": r.planned - r.reached,
            }
            for r in rows
        ]
    )
    name = f"{bundle.manifest.name}-planned-reached"
    figure.show(
        charts.reached(rows),
        numbers,
        name,
        f"reached.{bundle.folder.name}",
        "Planned and reached values",
    )
    figure.numbers(numbers)


def where_text(bundle: Bundle, served: WorstServed) -> str:
    """A worst-served place in a line."""
    where = bundle.weights_text(served.weights)
    return f"gap {served.gap:.4f} at {where}"


def _places(
    bundle: Bundle,
    portfolio: state.Portfolio,
    found: Sequence[WorstServed],
    chosen: int,
    table: pd.DataFrame,
) -> None:
    """A picture of the worst-served places, their numbers beside or below."""
    picture = _pictured(bundle, portfolio, found, chosen)
    name = f"{bundle.manifest.name}-worst-served"
    key = f"worst.{bundle.folder.name}"
    figure.show(picture, table, name, key, "Where users are served worst, by rank")
    figure.numbers(table)


def losses(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """The worst-served weights, and the prompts where the member falls furthest behind there."""
    found = worst_served(bundle.points, list(portfolio.rows), region=bundle.region)
    if not found:
        st.success(
            "Nothing: some member is as good as the best candidate at every weights"
            f"{expert(' (scope: candidates)')}."
        )
        return
    table = pd.DataFrame(
        [
            {
                "gap": s.gap,
                "picked member": bundle.labels[s.member],
                "best candidate": bundle.labels[s.best],
            }
            | dict(zip(bundle.trait_labels, map(float, s.weights), strict=True))
            for s in found
        ]
    )
    st.caption(
        "The weights that are served worst, one for each better candidate: exact, over all weights"
        f"{bundle.where_text}, against every candidate."
    )
    if bundle.prompts.empty or bundle.samples.empty:
        _places(bundle, portfolio, found, 0, table)
        st.info("This bundle has no recorded answers to compare.", icon=":material/chat_bubble:")
        lead_on("data", "Data", "upload_file")
        return
    at = st.selectbox(
        "Look at the answers where",
        range(len(found)),
        format_func=lambda i: where_text(bundle, found[i]),
        key=settings.seed(f"worst_at.{bundle.folder.name}", 0, among=range(len(found))),
    )
    _places(bundle, portfolio, found, int(at or 0), table)
    served = found[int(at or 0)]
    member = bundle.policies[served.member]
    best = bundle.policies[served.best]
    behind = furthest_behind(bundle.samples, member, best, served.weights, bundle.traits)
    behind = behind[behind["prompt_id"].isin(answers.prompt_order(bundle).index)].head(MOST_PROMPTS)
    texts = answers.prompt_order(bundle)
    colours = by_row(bundle, portfolio.rows)
    [other] = colours_of(bundle, [served.best])
    for row in behind.to_dict("records"):
        st.text(
            f"{texts[row['prompt_id']]}   (behind by {row['gap']:.3f} on this prompt"
            f"{expert('; scope: sampled')})"
        )
        shown = [
            (member, f"picked member, value {row['member_value']:.3f}", colours[served.member]),
            (best, f"best candidate, value {row['best_value']:.3f}", other),
        ]
        answers.answer_cards(answers.recorded(bundle, str(row["prompt_id"]), shown))


def diversity(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """How differently the members answer, for portfolios chosen in four ways."""
    rows = guarantee.diversity(bundle)
    if not rows:
        st.info(
            "How differently the members answer is measured when a bundle is built with `palm"
            " build`."
        )
        lead_on("generations", "Generations", "forum")
        return
    st.caption(
        "Answers to the same prompt. Embedding distance: mean pairwise 1 - cosine. Vendi score:"
        " effective number of different answers (1 to the number of members; arXiv 2210.02410)."
        " Usage perplexity: effective number of members that uniform users are served by."
        f"{expert(' Worst gap: scope candidates.')}"
    )
    if len(rows[0].members) != len(portfolio.rows):
        st.caption(
            f"Measured when the bundle was built, for {len(rows[0].members)} members;"
            f" {len(portfolio.rows)} are in use now."
        )
    table = pd.DataFrame([asdict(r) for r in rows])
    table["members"] = [", ".join(bundle.label(p) for p in members) for members in table["members"]]
    table = table.rename(
        columns={
            "distance": "embedding distance",
            "vendi": "Vendi score",
            "usage_perplexity": "usage perplexity",
            "worst_gap": "worst gap",
            "chosen_gap": "worst gap where chosen",
            "average_loss": "average loss",
        }
    )
    st.caption(
        "Portfolios were chosen on the choose prompts and are measured on the certify prompts: one"
        " that was best there can be behind here, by chance or because it has fewer members."
    )
    figure.table(table, f"{bundle.manifest.name}-diversity", f"diversity.{bundle.folder.name}")


def show() -> None:
    """The page."""
    bundle = open_bundle("What is guaranteed?")
    portfolio = open_portfolio(bundle)
    certificate(bundle, portfolio)
    with st.expander("What is lost"):
        losses(bundle, portfolio)
    with st.expander("Planned and reached"):
        plans(bundle, portfolio)
    with st.expander("How differently members answer"):
        diversity(bundle, portfolio)
    with st.expander("How traits are measured, and how their rewards were audited"):
        cards(bundle)


show()
