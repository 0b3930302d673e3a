"""How many members: the size in use, and the verdict for a loss that is tolerated."""

from __future__ import annotations

import html

import streamlit as st

from app import cache, state
from app.components.tolerance import choose_tolerance
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.verdict import Verdict, tolerances
from palm_engine.bundle.folder import Bundle

OWN = "bundle's own"


def _size_label(size: int | str) -> str:
    if isinstance(size, str):
        return size
    return "1 member" if size == 1 else f"{size} members"


def pick_size(bundle: Bundle, info: CurveInfo) -> None:
    """Buttons for every size; clicking a point of the curve does the same."""
    sizes: list[int | str] = [*([OWN] if bundle.members else []), *info.sizes]
    named = state.chosen_members(bundle) is not None
    current: int | str | None = state.chosen_size(bundle) or (
        OWN if bundle.members and not named else None
    )
    sizes_at, undo_at = st.columns([6, 1], vertical_alignment="bottom")
    undo_at.button(
        "Undo",
        key=f"undo.{bundle.folder.name}",
        icon=":material/undo:",
        disabled=not state.can_undo_choice(bundle),
        on_click=state.undo_choice,
        args=(bundle,),
        help="Use the portfolio of before.",
    )
    picked = sizes_at.segmented_control(
        "Use a portfolio of this size on every page",
        sizes,
        default=current if current in sizes else None,
        format_func=_size_label,
        key=f"pick_size.{bundle.folder.name}.{current}",
        wrap=True,
    )
    wanted = None if picked in (OWN, None) else int(picked)
    if picked is not None and (wanted != state.chosen_size(bundle) or named):
        state.choose_size(bundle, wanted)
        st.rerun()


def decide(bundle: Bundle, info: CurveInfo) -> Verdict:
    """The tolerance, and how many are enough for it, in a sentence."""
    sentence = st.container()
    tolerance = choose_tolerance(bundle, tolerances(info))
    told = cache.verdict_of(bundle, info, tolerance)
    sentence.html(
        f'<p data-part="verdict" style="font-size:1.3rem;font-weight:600;margin:0">'
        f"{html.escape(told.in_words(bundle.where_text))}</p>"
    )
    if told.enough is not None and told.enough.size != state.chosen_size(bundle):
        label = f"Use {_size_label(told.enough.size)} on every page"
        if sentence.button(label, key=f"take.{bundle.folder.name}", icon=":material/check:"):
            state.choose_size(bundle, told.enough.size)
            st.rerun()
    return told
