"""Recorded answers as a matrix: prompts by policies, with the texts of a cell beside it."""

from __future__ import annotations

import html
from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from app import charts, settings, state
from app.colours import colours_of
from app.components import answers, figure
from palm_engine._csv import csv_text
from palm_engine.analysis.matrix import AnswerMatrix, answer_matrix
from palm_engine.bundle.folder import Bundle

ORDERS = ("Policies differ most", "Best for you first", "As in the bundle")
MOST_ROWS = 2000


def matrix(bundle: Bundle, portfolio: state.Portfolio, texts: pd.Series[str]) -> None:
    """The matrix over `texts` (by prompt_id), win rates, the texts of what is chosen, downloads."""
    name = bundle.folder.name
    left, right = st.columns([5, 3])
    with left:
        policies = _policies(bundle, portfolio)
    order = right.segmented_control(
        "Order",
        ORDERS,
        key=settings.seed(f"order.{name}", ORDERS[0], among=ORDERS),
        required=True,
        wrap=True,
    )
    if not policies:
        st.info("Choose a policy to see its answers.", icon=":material/forum:")
        return
    w = state.weights(bundle)
    made = answer_matrix(bundle.samples, list(texts.index), policies, w, bundle.traits)
    ids = _in_order(made, str(order))
    chosen = _chosen(bundle, ids)
    left, right = st.columns([5, 4])
    with left:
        _table(bundle, made, texts, ids, chosen)
        _wins(bundle, made)
        _downloads(bundle, policies, texts)
    with right:
        _steps(bundle, ids, chosen)
        st.html(
            '<p style="font-size:1.15rem;font-weight:600;margin:0;overflow-wrap:anywhere"'
            f' data-part="prompt">{html.escape(str(texts[chosen]))}</p>'
        )
        _cards(bundle, portfolio, policies, chosen)


def _policies(bundle: Bundle, portfolio: state.Portfolio) -> list[str]:
    """What the columns are: members and base at first, any candidates that are chosen."""
    own = [bundle.policies[i] for i in portfolio.rows]
    if "base" in bundle.policies and "base" not in own:
        own.append("base")
    answered = set(bundle.samples["policy"].astype(str).unique())
    first = [p for p in own if p in answered]
    rows = "-".join(map(str, portfolio.rows))
    options = [p for p in bundle.policies if p in answered]
    wanted = st.multiselect(
        "Policies",
        options,
        format_func=bundle.label,
        key=settings.seed(f"columns.{rows}.{bundle.folder.name}", first, among=options),
        placeholder="choose policies",
    )
    return list(wanted)


def _in_order(made: AnswerMatrix, order: str) -> list[str]:
    keys = {
        ORDERS[0]: -made.spread,
        ORDERS[1]: -np.nan_to_num(made.values, nan=-np.inf).max(axis=1),
        ORDERS[2]: np.zeros(len(made.prompt_ids)),
    }[order]
    return [made.prompt_ids[i] for i in np.argsort(keys, kind="stable")]


def _chosen(bundle: Bundle, ids: Sequence[str]) -> str:
    """The prompt that is open: the one in the address if it is there, else the first."""
    now = state.open_prompt(bundle)
    chosen = now if now in ids else ids[0]
    _open(bundle, chosen)  # again: on Explore a widget holds it, whose value would be lost
    return chosen


def _open(bundle: Bundle, prompt_id: str) -> None:
    st.session_state[state.prompt_key(bundle)] = prompt_id


def _step(bundle: Bundle, ids: Sequence[str], by: int) -> None:
    """To the prompt `by` places after the open one.

    From where it is when the key is pressed, not from what was shown then: a key that comes before
    the page is drawn anew still runs the callback of the page before.
    """
    now = state.open_prompt(bundle)
    at = ids.index(now) if now in ids else 0
    _open(bundle, ids[min(max(at + by, 0), len(ids) - 1)])


def _table(
    bundle: Bundle, made: AnswerMatrix, texts: pd.Series[str], ids: Sequence[str], chosen: str
) -> None:
    shown = list(ids[:MOST_ROWS])
    places = {p: i for i, p in enumerate(made.prompt_ids)}
    frame = pd.DataFrame(
        made.values[[places[p] for p in shown]],
        columns=_columns(bundle, made.policies),
    )
    frame.insert(0, "prompt", [str(texts[p]) for p in shown])
    values: list[Hashable] = list(frame.columns[1:])
    low, high = np.nanmin(made.values), np.nanmax(made.values)
    styled = frame.style.map(lambda v: _shade(v, float(low), float(high)), subset=values)
    event = st.dataframe(
        styled.format(precision=2, subset=values, na_rep=""),
        hide_index=True,
        key=f"matrix.{bundle.folder.name}",
        height=460,
        on_select="rerun",
        selection_mode="single-cell",
        column_config={"prompt": st.column_config.TextColumn(width="medium", pinned=True)},
    )
    cells = event["selection"]["cells"] if event else []
    clicked = tuple(cells[0]) if cells else None
    new = state.is_new_click(bundle, clicked, "matrix")
    row = int(cells[0][0]) if cells else -1
    if new and 0 <= row < len(shown) and shown[row] != chosen:
        _open(bundle, shown[row])
        st.rerun()
    more = "" if len(ids) <= MOST_ROWS else f" The first {MOST_ROWS:,} of {len(ids):,}."
    st.caption(
        "Values of the recorded answers at your weights; click a cell to read beside it." + more
    )


def _columns(bundle: Bundle, policies: Sequence[str]) -> list[str]:
    """Names of the columns: what people call a policy, with its id where that isn't unique."""
    labels = [bundle.label(p) for p in policies]
    return [
        f"{label} ({policy})" if labels.count(label) > 1 or label == "prompt" else label
        for label, policy in zip(labels, policies, strict=True)
    ]


def _shade(value: float, low: float, high: float) -> str:
    """Blue as far as an answer is worth something: read by its number, too."""
    if np.isnan(value):
        return ""
    share = 0.0 if high <= low else (value - low) / (high - low)
    return f"background-color: rgba(74,127,181,{0.75 * share:.2f})"


def _wins(bundle: Bundle, made: AnswerMatrix) -> None:
    rows = [bundle.row(p) for p in made.policies]
    figure.draw(
        charts.usage_bars(
            _columns(bundle, made.policies), made.wins.tolist(), colours_of(bundle, rows)
        ).update_layout(title="Whose answer is best for you,<br>by share of these prompts"),
        key=f"wins.{bundle.folder.name}",
        alt="Share of prompts where each policy's answer is best",
        config={"displayModeBar": False},
    )


def _steps(bundle: Bundle, ids: Sequence[str], chosen: str) -> None:
    at = ids.index(chosen)
    back, on, where = st.columns([1, 1, 2], vertical_alignment="center")
    name = bundle.folder.name
    back.button(
        "Previous",
        key=f"previous.{name}",
        shortcut="k",
        disabled=at == 0,
        on_click=_step,
        args=(bundle, ids, -1),
        width="stretch",
    )
    on.button(
        "Next",
        key=f"next.{name}",
        shortcut="j",
        disabled=at == len(ids) - 1,
        on_click=_step,
        args=(bundle, ids, 1),
        width="stretch",
    )
    where.caption(f"{at + 1:,} of {len(ids):,}")


def _cards(
    bundle: Bundle, portfolio: state.Portfolio, policies: Sequence[str], prompt_id: str
) -> None:
    """The answers of the columns to a prompt: the picked member's first, then by value."""
    w = state.weights(bundle)
    picked = state.picked(bundle, portfolio).member
    values = bundle.points @ w
    rows = sorted((bundle.row(p) for p in policies), key=lambda i: (i != picked, -values[i]))
    colours = colours_of(bundle, rows)
    count = int(bundle.answers(prompt_id, [bundle.policies[rows[0]]]).shape[0])
    sample = 0
    if count > 1:
        sample = int(
            st.segmented_control(
                "Answer",
                range(count),
                format_func=lambda i: f"{i + 1} of {count}",
                key=settings.seed(f"sample.{bundle.folder.name}", 0, among=range(count)),
                required=True,
            )
            or 0
        )
    shown = []
    for row, colour in zip(rows, colours, strict=True):
        why = f"{values[row]:.3f} on average at your weights"
        why += ", picked for you" if row == picked else ""
        why += ", the model before training" if bundle.policies[row] == "base" else ""
        shown.append((bundle.policies[row], why, colour))
    found = answers.recorded(bundle, prompt_id, shown, sample)
    note = (
        "Recorded answers, shown as they came; marked words and signed numbers differ from the"
        " base's answer; scores are of this answer."
    )
    answers.answer_cards(found, next((a for a in found if a.policy == "base"), None), note)


def _downloads(bundle: Bundle, policies: Sequence[str], texts: pd.Series[str]) -> None:
    """All answers to what is filtered, whole: every sample, text and score."""

    def frame() -> pd.DataFrame:
        rows = bundle.samples[
            bundle.samples["policy"].isin(list(policies))
            & bundle.samples["prompt_id"].isin(texts.index)
        ]
        prompts = rows["prompt_id"].astype(str).map(texts.to_dict())
        return rows.assign(prompt=prompts, name=[bundle.label(str(p)) for p in rows["policy"]])

    left, right = st.columns(2)
    name = f"{bundle.manifest.name}-answers"
    left.download_button(
        "These answers as CSV",
        lambda: csv_text(frame().astype({"policy": str, "prompt_id": str})),
        f"{name}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"csv.{name}",
    )
    right.download_button(
        "As JSON Lines",
        lambda: str(frame().to_json(orient="records", lines=True, force_ascii=False)),
        f"{name}.jsonl",
        "application/jsonl",
        icon=":material/download:",
        on_click="ignore",
        key=f"jsonl.{name}",
    )
