"""Recorded answers as cards. Text of a bundle is untrusted: it is escaped and shown as text, never as markup."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import streamlit as st

_CARD = (
    '<div style="border:1px solid rgba(128,140,155,.35);border-top:4px solid {colour};border-radius:8px;'
    'padding:12px 14px;height:100%;overflow-wrap:anywhere">'
    '<div style="font-weight:600">{title}</div><div style="opacity:.7;font-size:.85rem;margin-bottom:8px">'
    "{subtitle}</div>"
    '<div style="white-space:pre-wrap;line-height:1.5">{text}</div>'
    '<div style="margin-top:10px;font-size:.82rem;opacity:.8">{scores}</div></div>'
)


def answer_card(title: str, subtitle: str, text: str, scores: Mapping[str, float], colour: str) -> None:
    """One answer with its trait scores; every string is escaped."""
    shown = text if text.strip() else "(the model answered nothing)"
    parts = " &nbsp; ".join(f"{html.escape(t)} <b>{v:.2f}</b>" for t, v in scores.items())
    st.html(
        _CARD.format(
            colour=html.escape(colour, quote=True),
            title=html.escape(title),
            subtitle=html.escape(subtitle),
            text=html.escape(shown),
            scores=parts,
        )
    )


def weights_bar(traits: Sequence[str], weights: Sequence[float], colours: Sequence[str]) -> None:
    """The effective weights as one bar that adds up to 1, with the numbers written out."""
    cells = "".join(
        f'<div style="width:{100 * w:.2f}%;background:{html.escape(c, quote=True)};height:12px"></div>'
        for w, c in zip(weights, colours, strict=True)
    )
    text = ", ".join(f"{html.escape(t)} <b>{w:.2f}</b>" for t, w in zip(traits, weights, strict=True))
    st.html(
        f'<div style="display:flex;border-radius:6px;overflow:hidden" aria-hidden="true">{cells}</div>'
        f'<div style="font-size:.9rem;margin-top:6px">Effective weights: {text}</div>'
    )
