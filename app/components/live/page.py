"""Live answers: type a prompt, members answer side by side, token by token.

Scored, compared, kept, downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import cache, settings, state
from app.colours import by_row, colours_of
from app.components import answers
from app.components.live import model
from app.errors import show_error, shows_errors
from palm_engine._csv import csv_text
from palm_engine._types import Floats
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import PalmError
from palm_engine.serving.answering import LiveAnswer, value_at, verdict
from palm_engine.serving.backends.interface import LiveSettings, live_settings
from palm_engine.serving.scoring import Scorer
from palm_engine.serving.ticket import Ticket

POLL = 0.12
WHO = ("All members and the base", "Picked and runner-up", "Chosen")


def live(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """The live half of the Generations page."""
    wanted = [bundle.manifest.candidates[i] for i in portfolio.rows]
    served, notices = cache.host().on_servers(bundle)
    for notice in notices:
        st.text(notice)
    if not model.ready(bundle, [c.policy for c in wanted if c.can_run], bool(served)):
        return
    question = state.ticket(bundle)
    running = question is not None and not _settle(bundle, question)
    scorer = Scorer(bundle)
    if scorer.missing:
        listed = ", ".join(scorer.missing)
        st.text(f"Fresh answers can't be scored beside the recorded ones: {listed}.")
    _question(bundle, portfolio, running)
    if running:
        _watch(bundle, portfolio)
        return
    done = _history(bundle)
    if not done:
        st.info("Write a prompt above, or take an example, and press Ask.", icon=":material/forum:")
        return
    _shown(bundle, portfolio, done, scorer.spent())


def _runnable(bundle: Bundle, rows: Sequence[int]) -> list[str]:
    """Those of the candidate `rows` that can answer here, in their order."""
    known = cache.host().answering(bundle)[0].policies
    return [p for p in (bundle.policies[i] for i in rows) if p in known]


def _question(bundle: Bundle, portfolio: state.Portfolio, running: bool) -> None:
    """Prompt, examples, who answers, sampling; Ask."""
    name = bundle.folder.name
    key = f"live.prompt.{name}"
    if not bundle.prompts.empty:
        texts = answers.prompt_order(bundle)

        def take() -> None:
            chosen = st.session_state.get(f"live.example.{name}")
            if chosen:
                st.session_state[key] = chosen

        st.selectbox(
            "Examples",
            list(map(str, texts.head(200))),
            index=None,
            key=f"live.example.{name}",
            on_change=take,
            placeholder="take a prompt from the bundle",
        )
    prompt = st.text_area(
        "Your prompt",
        key=key,
        height=90,
        max_chars=cache.host().limits.prompt_characters,
        placeholder="Ask something, anything",
        persist_state="session",
    )
    left, middle, right = st.columns([3, 1, 1], vertical_alignment="bottom")
    with left:
        who = st.segmented_control(
            "Who answers",
            WHO,
            key=settings.seed(f"live.who.{name}", WHO[0], among=WHO),
            required=True,
            wrap=True,
        )
        members = _members(bundle, portfolio, str(who))
    with middle.popover("Sampling", icon=":material/tune:"):
        sampling = _sampling(bundle)
    if right.button(
        "Ask",
        type="primary",
        icon=":material/send:",
        disabled=running,
        width="stretch",
        shortcut="Ctrl+Enter",
    ):
        if running:
            return  # a second click that came while the first was on its way
        if not prompt.strip():
            st.warning("The prompt is empty; write a question first.")
        elif not members:
            st.warning("Nobody is chosen; choose at least one policy.")
        else:
            _ask(bundle, prompt.strip(), members, sampling)


def _members(bundle: Bundle, portfolio: state.Portfolio, who: str) -> list[str]:
    picked = state.picked(bundle, portfolio)
    if who == "Chosen":
        options = _runnable(bundle, range(len(bundle.policies)))
        first = [p for p in (bundle.policies[picked.member], "base") if p in options]
        chosen = st.multiselect(
            "Policies",
            options,
            format_func=bundle.label,
            key=settings.seed(f"live.chosen.{bundle.folder.name}", first, among=options),
        )
        return [str(p) for p in chosen]
    rows = list(portfolio.rows)
    if who == "Picked and runner-up":
        rows = [picked.member, *([] if picked.runner_up is None else [picked.runner_up])]
    values = bundle.points @ state.weights(bundle)
    rows = sorted(rows, key=lambda i: (i != picked.member, -values[i]))
    if who == WHO[0] and "base" in bundle.policies and bundle.row("base") not in rows:
        rows.append(bundle.row("base"))
    return _runnable(bundle, rows)


def _sampling(bundle: Bundle) -> LiveSettings:
    usual = live_settings(bundle)
    name = bundle.folder.name
    temperature = st.slider(
        "Temperature",
        0.0,
        2.0,
        step=0.05,
        key=settings.seed(f"live.temperature.{name}", min(float(usual.temperature), 2.0), 0.0, 2.0),
        help="0 is greedy: always the likeliest token.",
    )
    top_p = st.slider(
        "Top-p",
        0.05,
        1.0,
        step=0.05,
        key=settings.seed(f"live.top_p.{name}", max(float(usual.top_p), 0.05), 0.05, 1.0),
    )
    most = cache.host().limits.new_tokens
    tokens = st.number_input(
        "New tokens, at most",
        1,
        most,
        key=settings.seed(f"live.tokens.{name}", min(usual.max_new_tokens, most), 1, most),
    )
    seed = st.number_input(
        "Seed",
        0,
        2**31,
        key=settings.seed(f"live.seed.{name}", 0, 0, 2**31),
        help="The same seed gives a member the same answer, whoever else is asked.",
    )
    return live_settings(
        bundle, temperature=temperature, top_p=top_p, max_new_tokens=int(tokens), seed=int(seed)
    )


def _ask(bundle: Bundle, prompt: str, members: list[str], sampling: LiveSettings) -> None:
    host = cache.host()
    try:
        scorer = Scorer(bundle)
        question = host.queue.submit(
            state.session_id(),
            host.answering(bundle)[0],
            [prompt],
            members,
            sampling,
            None if scorer.missing else scorer,
            state.connection(),
        )
    except PalmError as error:
        show_error("This can't be asked.", error, warns=True)
        return
    state.set_ticket(bundle, question)
    st.rerun()


def _settle(bundle: Bundle, question: Ticket) -> bool:
    """Whether the question is over; its answers then go to the history, once."""
    if not question.look().ended:
        return False
    _history(bundle).append(
        state.Asked(
            question.prompts[0],
            _so_far(question),
            question.settings,
            question.tokens_a_second,
            question.state != "done",
            question.error,
        )
    )
    state.set_ticket(bundle, None)
    return True


def _so_far(question: Ticket) -> tuple[LiveAnswer, ...]:
    return tuple(row.answer() for row in question.rows)


def _history(bundle: Bundle) -> list[state.Asked]:
    return state.history(bundle, cache.stamp(bundle))


@st.fragment(run_every=POLL)
@shows_errors
def _watch(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """Columns that grow; runs by itself until the answers are whole."""
    question = state.ticket(bundle)
    if question is None or question.look().ended:
        st.rerun()
    assert question is not None
    left, right = st.columns([4, 1], vertical_alignment="center")
    if question.state == "waiting":
        before = "you are next"
        if question.ahead:
            before = f"{question.ahead} before yours"
        left.text(f"In the queue: {before}.")
    else:
        speed = question.tokens_a_second
        open_rows = sum(not row.done for row in question.rows)
        sentence = f"{open_rows} still answering" if open_rows else "Scoring"
        left.text(sentence + (f", {speed:.0f} tokens per second" if speed else ""))
    if right.button("Stop", icon=":material/stop:", width="stretch"):
        question.cancel()
    _cards(bundle, portfolio, _so_far(question), [not row.done for row in question.rows])


def _cards(
    bundle: Bundle,
    portfolio: state.Portfolio,
    found: tuple[LiveAnswer, ...],
    growing: list[bool] | None = None,
) -> None:
    """The answers side by side; every text in them is escaped."""
    w = state.weights(bundle)
    colours = by_row(bundle, portfolio.rows)
    picked = bundle.policies[state.picked(bundle, portfolio).member]
    shown = []
    labels = dict(zip(bundle.traits, bundle.trait_labels, strict=True))
    for i, answer in enumerate(found):
        grows = growing is not None and growing[i]
        row = bundle.policies.index(answer.policy)
        why = "member" if row in colours else "not a member"
        if answer.policy == picked:
            why = "picked at your weights"
        value = value_at(answer, bundle.traits, w)
        if value is not None:
            why += f" · value {value:.3f}"
        text = answer.text + (" ▍" if grows else "")
        shown.append(
            answers.Card(
                answer.policy,
                why,
                colours_of(bundle, [row])[0],
                text,
                answer.tokens,
                {labels[t]: score for t, score in answer.scores.items()},
                bundle.label(answer.policy),
                "" if answer.finish == "stop" else answer.finish,
            )
        )
    base = next((a for a in shown if a.policy == "base"), None) if growing is None else None
    answers.answer_cards(
        shown,
        base,
        f"{_where(bundle, found)}, shown as text; scores are of each answer by itself.",
    )
    for notice in dict.fromkeys(a.notice for a in found if a.notice):
        st.text(notice)


def _where(bundle: Bundle, found: tuple[LiveAnswer, ...]) -> str:
    """Where answers come from, in words."""
    remote = [bundle.candidate(a.policy).kind == "remote" for a in found]
    if all(remote):
        return "Generated on servers"
    return (
        "Generated on this machine and on servers" if any(remote) else "Generated on this machine"
    )


def _shown(
    bundle: Bundle, portfolio: state.Portfolio, done: list[state.Asked], spent: list[str]
) -> None:
    """A question of the history with its answers, and the winner beside the predicted one."""
    name = bundle.folder.name
    last = len(done) - 1
    i = last
    if last:
        i = int(
            st.selectbox(
                "History",
                range(last, -1, -1),
                format_func=lambda j: f"{j + 1}: {done[j].prompt[:90]}",
                key=f"live.history.{name}.{last}",
            )
        )
    one = done[i]
    w = state.weights(bundle)
    values = {a.policy: value_at(a, bundle.traits, w) for a in one.answers}
    if one.error:
        st.warning("This question wasn't answered to the end.", icon=":material/error:")
        st.text(one.error)
    st.text(_summary(bundle, one, w))
    for sentence in spent:
        st.text(f"Judges, since the dashboard was started: {sentence}.")
    # In the order in which they were asked: cards keep their places when they are done.
    _cards(bundle, portfolio, one.answers)
    left, right = st.columns(2)
    left.download_button(
        "History as JSON",
        _as_json(bundle, done),
        f"{bundle.manifest.name}-live.json",
        "application/json",
        on_click="ignore",
        icon=":material/download:",
    )
    table = [
        {
            "policy": a.policy,
            "value": values[a.policy],
            **a.scores,
            "tokens": a.tokens,
            "ended": a.finish,
            "notice": a.notice,
            "answer": a.text,
        }
        for a in one.answers
    ]
    right.download_button(
        "Answers as CSV",
        csv_text(pd.DataFrame(table)),
        f"{bundle.manifest.name}-live.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
    )


def _summary(bundle: Bundle, one: state.Asked, w: Floats) -> str:
    """The question, how fast it went, and which of its answers is best at the weights."""
    sentence = f"“{one.prompt}” " + ("Stopped. " if one.stopped else "")
    if one.tokens_a_second:
        tokens = sum(a.tokens for a in one.answers)
        sentence += f"{tokens} tokens at {one.tokens_a_second:.0f} per second. "
    found = verdict(bundle, one.answers, w)
    if found is None and one.stopped:
        return sentence + "What was stopped is not scored: ask again to compare the answers."
    if found is None:
        return sentence + "These answers have no trait scores: the bundle's rewards aren't here."
    return sentence + found.words


def _as_json(bundle: Bundle, done: list[state.Asked]) -> str:
    w = state.weights(bundle)
    weights = dict(zip(bundle.traits, map(float, w), strict=True))
    questions = [
        {
            "prompt": one.prompt,
            "settings": one.settings.model_dump(),
            "stopped": one.stopped,
            "error": one.error,
            "answers": [
                {
                    "policy": a.policy,
                    "text": a.text,
                    "tokens": a.tokens,
                    "scores": dict(a.scores),
                    "value": value_at(a, bundle.traits, w),
                    "finish_reason": a.finish or None,
                    "notice": a.notice or None,
                }
                for a in one.answers
            ],
        }
        for one in done
    ]
    return json.dumps(
        {"portfolio": bundle.manifest.name, "weights": weights, "questions": questions}, indent=1
    )
