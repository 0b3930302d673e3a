"""How many members: the size in use, and the verdict for a loss that is tolerated."""

from __future__ import annotations

import streamlit as st

from app import cache, state
from app.components.guide import say
from app.components.tolerance import choose_tolerance
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.story import expected_gap
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


def beside_in_use(bundle: Bundle, told: Verdict, in_use: state.Portfolio) -> list[str]:
    """What the portfolio in use does differently from the fewest that are enough; its own bound."""
    lines = []
    size = len(in_use.rows)
    enough = told.enough
    if enough is not None and enough.size != size:
        worst = cache.exact_gap(bundle, in_use.rows).additive
        average = expected_gap(bundle.points, in_use.rows, bundle.region)
        same = f"{worst:.4f}" == f"{enough.worst:.4f}"
        gap = (
            "the same worst gap" if same else f"worst gap {worst:.4f} instead of {enough.worst:.4f}"
        )
        lines.append(
            f"{size} {'is' if size == 1 else 'are'} in use: {gap}, average loss {average:.4f}"
            f" instead of {enough.expected:.4f}."
        )
    at_once = next((r.upper for r in told.rows if r.size == size), None)
    if in_use.bound is not None and at_once is not None and at_once > in_use.bound.upper:
        lines.append(
            f"The members in use are bounded by themselves: at most {in_use.bound.upper:.4f}. The"
            f" bounds below hold for all sizes at once, since any may be picked by looking:"
            f" {at_once:.4f} for {size}."
        )
    return lines


def decide(bundle: Bundle, info: CurveInfo) -> Verdict:
    """The tolerance, and how many are enough for it, in a sentence."""
    sentence = st.container()
    tolerance = choose_tolerance(bundle, tolerances(info))
    told = cache.verdict_of(bundle, info, tolerance)
    with sentence:
        say(
            told.in_words(bundle.where_text, bundle.unit),
            "verdict",
            "font-size:1.3rem;font-weight:600;margin:0",
        )
    in_use = cache.portfolio(bundle)
    if in_use is not None:
        for line in beside_in_use(bundle, told, in_use):
            sentence.text(line)
    if told.enough is not None and told.enough.size != state.chosen_size(bundle):
        label = f"Use {_size_label(told.enough.size)} on every page"
        if sentence.button(label, key=f"take.{bundle.folder.name}", icon=":material/check:"):
            state.choose_size(bundle, told.enough.size)
            st.rerun()
    return told
