"""A tour in five steps, the words with their meanings, and the switch between plain and expert."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import NamedTuple

import streamlit as st

from app import settings, state
from app.components.templates import fill

TOUR = (
    (
        "explore",
        "Explore",
        "Drag the sliders: where another model is better, it answers.",
    ),
    ("find", "Find my model", "Or say which answers you prefer: a few are enough."),
    (
        "tradeoff",
        "Trade-off",
        "Set the loss that you tolerate: how many models are enough?",
    ),
    ("coverage", "Coverage", "Upload your users: who is served how well, and by whom."),
    ("guarantee", "Guarantee", "Read what is promised for every user, and what isn't."),
)


class Word(NamedTuple):
    """What a word means, and whether one has to be an expert to know it.

    Attributes:
        meaning: in plain English.
        expert: whether first screens go without it in the plain mode.
    """

    meaning: str
    expert: bool = False


GLOSSARY = {
    "trait": Word("What answers are judged by, such as safety or humor; a score from 0 to 1."),
    "weights": Word("How much each trait matters to a user; they sum to 1."),
    "candidate": Word("A model that was evaluated: trained, prompted, or imported."),
    "member": Word("A candidate that is kept in the portfolio."),
    "portfolio": Word("The models that are kept to serve everybody."),
    "value": Word("A model's scores, weighed by a user's weights."),
    "gap": Word("How much less a user gets than from the best candidate."),
    "worst gap": Word("The largest gap over all weights, found exactly."),
    "coverage": Word("The share of users, or of all weights, whose gap is within a threshold."),
    "passes": Word(
        "How often the model runs for each token: once, or once for each part of a mixture."
    ),
    "bound": Word(
        "What the worst gap stays below with 95 % confidence, on prompts like those measured."
    ),
    "additive": Word("A gap as a difference of values.", True),
    "multiplicative": Word("A gap as a share of the best value.", True),
    "scope": Word(
        "What a gap is compared with: candidates (all that were evaluated), pool (all that could"
        " be trained on the scored samples), sampled (at listed weights only).",
        True,
    ),
    "pool": Word("Scored sample answers, from which a plan says what could be trained.", True),
    "certify": Word("To measure chosen members on prompts that took no part in the choice.", True),
    "simplex": Word("All weights there are: for three traits, a triangle.", True),
    "eps": Word("The multiplicative gap that is tolerated.", True),
    "delta": Word("The additive gap that is tolerated.", True),
    "beta": Word("How strongly training holds a model to the one it starts from.", True),
    "KL": Word("How far a model is from the one it was trained from.", True),
    "usage perplexity": Word("How many members are in use, counted by how evenly.", True),
    "Vendi score": Word("How many different answers there are in effect.", True),
}
EXPERT = "expert"


def guide() -> None:
    """The tour, the words, and how much is said."""
    with st.container(key="guide", horizontal=True, vertical_alignment="center"):
        with st.popover("Tour", icon=":material/tour:"):
            for number, (page, title, sentence) in enumerate(TOUR, start=1):
                st.page_link(f"../pages/{page}.py", label=f"{number}. {title}")
                st.caption(sentence)
        with st.popover("Words", icon=":material/menu_book:"):
            # A list that scrolls by itself can be reached by keys; a popover that does can't.
            known = [{"name": n, "meaning": w.meaning} for n, w in GLOSSARY.items()]
            st.html(fill("words.html", words=known))
        st.toggle(
            "Expert",
            key=settings.seed(EXPERT, False),
            help="Say what every figure is measured against, and show every setting.",
        )


def expert(text: str) -> str:
    """`text` for experts, nothing for others: what a figure is measured against, and the like."""
    return text if state.is_expert() else ""


@cache
def _words() -> re.Pattern[str]:
    longest = sorted(GLOSSARY, key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest))})(s?)\b")


def explained(text: str) -> str:
    """Text as HTML in which each glossary word, where it comes first, tells what it means.

    Args:
        text: plain text; it is escaped.
    """
    told: set[str] = set()

    def tip(found: re.Match[str]) -> str:
        name = found[1]
        if name in told:
            return found[0]
        told.add(name)
        meaning = html.escape(GLOSSARY[name].meaning, quote=True)
        return f'<abbr tabindex="0" title="{meaning}" data-tip="{meaning}">{found[0]}</abbr>'

    return _words().sub(tip, html.escape(text, quote=False))


def say(text: str, part: str = "", style: str = "") -> None:
    """A paragraph of text whose glossary words explain themselves under the pointer and the focus.

    Args:
        text: plain text.
        part: its name, for tests and styles.
        style: CSS.
    """
    named = f' data-part="{part}"' if part else ""
    st.html(f'<p{named} style="{style or "margin:0"}">{explained(text)}</p>')
