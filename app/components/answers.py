"""Recorded answers as cards.

Text of a bundle is untrusted: it is escaped and shown as text, never as markup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

import pandas as pd
import streamlit as st

from app import cache, state
from app.components.templates import fill
from palm_engine.bundle.folder import Bundle


@dataclass(frozen=True)
class Card:
    """One answer to show.

    Attributes:
        policy: who gave it.
        why: why it is shown.
        colour: of the card.
        text: None where none was recorded.
        tokens: its length.
        scores: by trait.
        label: the policy's name for people; its id if empty.
        ending: how a server says that it ended, where not by itself.
    """

    policy: str
    why: str
    colour: str
    text: str | None
    tokens: int
    scores: Mapping[str, float]
    label: str = ""
    ending: str = ""


def prompt_order(bundle: Bundle) -> pd.Series[str]:
    """Texts of the prompts that can be shown, by prompt_id.

    Curated ones first, training prompts never.
    """
    return _prompt_order(str(bundle.folder), cache.stamp(bundle), bundle)


@st.cache_resource(show_spinner=False, max_entries=8)
def _prompt_order(folder: str, stamp: int, _bundle: Bundle) -> pd.Series[str]:
    prompts = _bundle.prompts
    answered = prompts[
        (prompts["split"] != "train") & prompts["prompt_id"].isin(_bundle.answered_prompts)
    ]
    texts: pd.Series[str] = (
        (prompts if answered.empty else answered).set_index("prompt_id")["text"].astype(object)
    )
    first = [p for p in _bundle.manifest.curated_prompts if p in texts.index]
    return texts.loc[[*first, *(p for p in texts.index if p not in set(first))]]


def pick_prompt(bundle: Bundle) -> str:
    """The prompt picker, curated ones first.

    A prompt that a link names is taken if it is there.
    """
    texts = prompt_order(bundle)
    key = state.prompt_key(bundle)
    if st.session_state.get(key) not in texts.index:
        st.session_state[key] = texts.index[0]
    names = dict(zip(texts.index, map(str, texts), strict=True))
    st.selectbox(
        "Prompt", list(names), format_func=names.__getitem__, key=key, persist_state="session"
    )
    return str(st.session_state[key])


def recorded(
    bundle: Bundle, prompt_id: str, shown: Sequence[tuple[str, str, str]], sample: int = 0
) -> list[Card]:
    """The recorded answer number `sample` of each (policy, why, colour) in `shown`."""
    rows = bundle.records(prompt_id)
    found = []
    for name, why, colour in shown:
        own = rows.get(name, ())
        row = own[sample] if sample < len(own) else None
        if row is None:
            found.append(Card(name, why, colour, None, 0, {}, bundle.label(name)))
            continue
        scores = {
            label: float(row[t])
            for t, label in zip(bundle.traits, bundle.trait_labels, strict=True)
        }
        ending = str(row.get("finish_reason") or "")
        found.append(
            Card(
                name,
                why,
                colour,
                str(row["text"]),
                int(row["tokens"]),
                scores,
                bundle.label(name),
                "" if ending == "stop" else ending,
            )
        )
    return found


def answer_cards(answers: Sequence[Card], reference: Card | None = None, note: str = "") -> None:
    """Cards side by side; words and scores that differ from `reference`'s answer are marked.

    `note` stands below.

    One element, not one a card: what a slider repaints is counted in elements.
    """
    st.html(fill("cards.html", cards=[card(a, reference) for a in answers], note=note))


@dataclass(frozen=True)
class Piece:
    """Some words of an answer; `marked` where another answer doesn't have them in this order."""

    text: str
    marked: bool = False


def card(answer: Card, reference: Card | None = None) -> dict[str, object]:
    """What the template of a card is filled with."""
    other = reference if reference is not None and reference.policy != answer.policy else None
    pieces: tuple[Piece, ...]
    if answer.text is None:
        pieces = (Piece("No answer of this model to this prompt was recorded."),)
    elif not answer.text.strip():
        pieces = (Piece("(the model answered nothing)"),)
    elif other and other.text:
        pieces = marked(answer.text, other.text)
    else:
        pieces = (Piece(answer.text),)
    scores = []
    for trait, value in answer.scores.items():
        change = f" ({value - other.scores[trait]:+.2f})" if other and trait in other.scores else ""
        scores.append({"trait": trait, "value": f"{value:.2f}", "change": change})
    words = f" · {answer.tokens} tokens" if answer.text is not None else ""
    words += f" · ended: {answer.ending}" if answer.ending else ""
    return {
        "colour": answer.colour,
        "title": answer.label or answer.policy,
        "subtitle": answer.why + words,
        "pieces": pieces,
        "scores": scores,
    }


@lru_cache(maxsize=512)
def marked(text: str, other: str) -> tuple[Piece, ...]:
    """`text` in pieces; words that `other` doesn't have in this order are marked."""
    ours = re.findall(r"\S+|\s+", text)
    theirs = re.findall(r"\S+|\s+", other)
    pieces = []
    for what, a, b, _, _ in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        words = "".join(ours[a:b])
        if words:
            pieces.append(Piece(words, what != "equal" and bool(words.strip())))
    return tuple(pieces)
