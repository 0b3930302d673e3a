"""Find my model: two recorded answers to one question, which is better, until a member is settled.

Used by its own page and by Explore. What the user said is kept in the session, per portfolio; the
rest follows from it (`analysis/finding.py`).
"""

from __future__ import annotations

import html

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from app import cache, charts, state
from app.colours import colours_of
from app.components import figure
from app.components.header import lead_on
from app.plain import inert
from palm_engine._csv import csv_text
from palm_engine.analysis.finding import Questions
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import named_weights
from palm_engine.preferences.finding import NEAR, Answered, Finding
from palm_engine.preferences.posterior import Outcome

MOST_SHOWN = 700
# What is said, the key that says it, and what it means: two answers of one worth are a tie,
# whether they are good or bad.
SAYINGS: dict[str, tuple[str, Outcome | None, str]] = {
    "both": ("Both are fine", "equal", "B"),
    "neither": ("Neither", "equal", "N"),
    "skip": ("Skip", None, "S"),
}


def finder(bundle: Bundle, portfolio: state.Portfolio, key: str, shortcuts: bool) -> None:
    """The questions, and what is known from the answers.

    `key` tells two places apart; without `shortcuts` keys are left to what else is on the page.
    """
    try:
        asked = cache.questions(bundle, portfolio.rows)
    except InvalidInputError as error:
        st.info(f"There is nothing to ask about here: {inert(str(error))}.", icon=":material/quiz:")
        lead_on("tradeoff", "Trade-off", "show_chart")
        return
    answers = state.said(bundle, portfolio)
    finding = asked.find([Answered(a.question, a.outcome) for a in answers])
    if finding.settled:
        _settled(bundle, portfolio, finding, len(answers), key)
    if finding.question is None:
        st.info("Every question has been asked.", icon=":material/done_all:")
        lead_on("explore", "Explore", "explore")
    elif not finding.settled or st.session_state.get(f"find.more.{key}.{bundle.folder.name}"):
        _question(bundle, portfolio, asked, finding, key, shortcuts)
    _steps(bundle, portfolio, asked, answers, key, shortcuts)
    if answers:
        _known(bundle, portfolio, finding, key)


def _question(
    bundle: Bundle,
    portfolio: state.Portfolio,
    asked: Questions,
    finding: Finding,
    key: str,
    shortcuts: bool,
) -> None:
    row = finding.question
    assert row is not None
    question = asked.table.iloc[row]
    number = len(state.said(bundle, portfolio)) + 1
    st.html(
        f'<p style="opacity:.75;margin:0">Question {number}: which answer do you prefer?</p>'
        f'<p style="font-size:1.25rem;font-weight:600;margin:.2rem 0 .4rem;overflow-wrap:anywhere"'
        f' data-part="asked">{html.escape(str(question["prompt"]))}</p>'
    )
    sides: tuple[tuple[str, Outcome, str, str], ...] = (
        ("first", "first", "This one", "Left"),
        ("second", "second", "That one", "Right"),
    )
    for column, (side, outcome, label, shortcut) in zip(st.columns(2), sides, strict=True):
        with column:
            st.html(
                '<div style="border:1px solid rgba(128,140,155,.4);border-radius:8px;'
                "padding:14px 16px;min-height:6.5rem;white-space:pre-wrap;overflow-wrap:anywhere;"
                f'line-height:1.5" data-part="{side}">{html.escape(str(question[side]))}</div>'
            )
            st.button(
                label,
                key=f"find.{side}.{key}",
                shortcut=shortcut if shortcuts else None,
                type="primary",
                width="stretch",
                on_click=state.say,
                args=(bundle, portfolio, state.Said(row, outcome, side)),
            )
    for column, (name, (label, tie, shortcut)) in zip(st.columns(3), SAYINGS.items(), strict=True):
        column.button(
            label,
            key=f"find.{name}.{key}",
            shortcut=shortcut if shortcuts else None,
            width="stretch",
            on_click=state.say,
            args=(bundle, portfolio, state.Said(row, tie, name)),
        )


def _settled(
    bundle: Bundle, portfolio: state.Portfolio, finding: Finding, count: int, key: str
) -> None:
    member = portfolio.rows[finding.member]
    after = "without a question" if not count else f"after {count} question{'s' * (count > 1)}"
    colour = colours_of(bundle, portfolio.rows)[finding.member]
    weights = named_weights(finding.posterior.mean, bundle.trait_labels)
    words = ", ".join(f"{t} {w:.0%}" for t, w in weights.items())
    st.html(
        '<div style="border:1px solid rgba(128,140,155,.4);border-left:6px solid '
        f'{colour};border-radius:8px;padding:12px 16px">'
        f'<div style="opacity:.75">Your model, {after}</div>'
        f'<div style="font-size:1.6rem;font-weight:700" data-part="found">'
        f"{html.escape(bundle.labels[member])}</div>"
        f"<div>It is {finding.probability:.0%} certain to be within {NEAR:.0%} of the best of these"
        f" {len(portfolio.rows)} for you. You seem to want: {html.escape(words)}.</div></div>"
    )
    use, more, _ = st.columns([2, 2, 3])
    if use.button(
        "Use these weights",
        key=f"find.use.{key}",
        type="primary",
        icon=":material/check:",
        help="On every page, and in the address: the link opens this view.",
        width="stretch",
    ):
        state.move_weights(bundle, 100 * finding.posterior.mean / finding.posterior.mean.max())
        st.toast("These are your weights now, on every page.")
        st.rerun()
    more.toggle("Ask me more", key=f"find.more.{key}.{bundle.folder.name}")


def _steps(
    bundle: Bundle,
    portfolio: state.Portfolio,
    asked: Questions,
    answers: tuple[state.Said, ...],
    key: str,
    shortcuts: bool,
) -> None:
    back, again, export, _ = st.columns([1, 1, 2, 3])
    back.button(
        "Undo",
        key=f"find.undo.{key}",
        icon=":material/undo:",
        shortcut="U" if shortcuts else None,
        disabled=not answers,
        on_click=state.unsay,
        args=(bundle, portfolio),
    )
    again.button(
        "Start over",
        key=f"find.again.{key}",
        disabled=not answers,
        on_click=state.unsay,
        args=(bundle, portfolio, len(answers)),
    )
    if answers:
        log = [Answered(a.question, a.outcome) for a in answers]
        export.download_button(
            "My answers as CSV",
            lambda: csv_text(asked.log(log).assign(said=[a.said for a in answers])),
            f"{bundle.manifest.name}-my-answers.csv",
            "text/csv",
            on_click="ignore",
            key=f"find.log.{key}",
            icon=":material/download:",
        )


def _known(bundle: Bundle, portfolio: state.Portfolio, finding: Finding, key: str) -> None:
    names = [bundle.labels[i] for i in portfolio.rows]
    left, right = st.columns([3, 2])
    with left:
        figure.draw(
            _cloud(bundle, portfolio, finding),
            key=f"find.cloud.{key}",
            alt="Weights that agree with your answers, coloured by the member picked there",
            config={"displayModeBar": False},
        )
    with right:
        figure.draw(
            charts.chances(
                names, finding.probabilities.tolist(), colours_of(bundle, portfolio.rows)
            ),
            key=f"find.chances.{key}",
            alt="How likely each member is right for you",
            config={"displayModeBar": False},
        )


def _cloud(bundle: Bundle, portfolio: state.Portfolio, finding: Finding) -> go.Figure:
    """Some particles of the posterior, equally heavy, coloured by the member picked there."""
    known = finding.posterior
    rng = np.random.default_rng(0)
    drawn = rng.choice(len(known.particles), MOST_SHOWN, p=known.mass)
    some = known.particles[drawn]
    member = (some @ bundle.points[list(portfolio.rows)].T).argmax(axis=1)
    names = [bundle.labels[i] for i in portfolio.rows]
    colours = colours_of(bundle, portfolio.rows)
    return charts.cloud(some, member, names, colours, bundle.trait_labels, known.mean)
